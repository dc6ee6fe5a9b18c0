"""Whether this host is fit to run bottles: each finding says what, why it matters, and what to type."""

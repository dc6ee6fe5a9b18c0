"""What runs inside a bottle's namespaces as their first process: the standard library alone, nothing of the host."""

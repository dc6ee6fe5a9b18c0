"""Attempts of an agent to get what its bottle must not give: each is data, runs on every runtime, and has a control."""

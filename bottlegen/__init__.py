"""Bottle profiles in, content-hashed bundles out; nothing here sees the host."""

"""Bottle profiles in, content-hashed bundles out; nothing here sees the host."""

__version__ = "0.1.0"

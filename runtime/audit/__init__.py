"""Audit of a bottle's ways out: who writes it, where it is kept, and how it is read.

Imports nothing: `writer` is also read by bare interpreters that hold a bottle's sidecars.
"""

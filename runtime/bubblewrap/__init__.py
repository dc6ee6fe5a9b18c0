"""The bubblewrap runtime: processes of this host in namespaces of their own, without a daemon.

Imports nothing: `inside` is also read by the bare interpreter within a bottle.
"""

"""The smolmachines runtime: an agent behind a virtual machine's wall, its sidecars as native processes of this host."""

"""Whatever bytes a reader is given, only members of the error family come out, soon, and without growing."""

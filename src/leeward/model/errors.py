"""Errors that a user caused or can mend. Errors in observed traffic are counted events, never exceptions."""


class LeewardError(Exception):
    """One line that says what went wrong, where, and what to do about it. The command line prints it and exits 2."""


class InputError(LeewardError):
    """A file or an argument that cannot be used."""


class HostError(LeewardError):
    """This host lacks something that was asked for (root, BPF, a mount)."""

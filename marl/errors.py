"""What ends a run that was asked for rightly."""


class RunError(RuntimeError):
    """The world failed the run: a full disk, a lost machine. One line; exit code 1."""

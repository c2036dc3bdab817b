"""Errors that end a run which was asked for rightly."""


class RunError(RuntimeError):
    """The world failed the run: a full disk, a lost machine. One line; exit code 1."""


class CutError(Exception):
    """What was asked to stop has stopped before its end; nothing failed."""


class PoolLostError(RunError):
    """A shard of the pool died with its episodes."""

    def __init__(
        self, message: str = "a shard of the experience pool is lost, and its episodes with it"
    ) -> None:
        super().__init__(message)

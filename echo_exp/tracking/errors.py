"""The errors of a tracking store."""


class TrackingError(RuntimeError):
    """The tracking store refused or lost something."""


class UnreachableError(TrackingError):
    """The tracking store cannot be reached, or is full."""


class DeletedError(TrackingError):
    """Somebody has deleted a run, or its experiment, in MLflow.

    Args:
        reason: What was deleted, and how to restore it.
        for_good: Whether it can no longer be restored.
    """

    def __init__(self, reason: str, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good

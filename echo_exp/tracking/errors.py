"""The errors of a tracking store."""


class TrackingError(RuntimeError):
    """The tracking store refused or lost something."""


class UnreachableError(TrackingError):
    """The tracking store cannot be reached, or is full."""


class DeletedError(TrackingError):
    """Somebody has deleted a run, or its experiment, in MLflow.

    Args:
        reason: What was deleted, and how it is restored.
        for_good: Whether nothing restores it.
    """

    def __init__(self, reason: str, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good

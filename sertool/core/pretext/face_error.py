"""What is wrong with one face, so that its utterance learns nothing from it and is counted."""

from sertool.core.errors import InputError


class FaceError(InputError):
    """A face that cannot be used; its utterance serves the tasks that need none.

    Attributes:
        reason: what is wrong, in words that are the same for every such face, to count by.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

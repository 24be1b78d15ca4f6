"""What every function of this package raises."""

import enum
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .reports import Report


class Status(enum.IntEnum):
    """Why something failed (lull/status.h)."""

    OK = 0
    INVALID_ARGUMENT = 1
    NOT_FOUND = 2
    UNSUPPORTED = 3
    OUT_OF_DEVICE_MEMORY = 4
    OUT_OF_HOST_MEMORY = 5
    BUSY = 6
    TIMED_OUT = 7
    CANCELLED = 8
    NOT_RESIDENT = 9
    STALE = 10
    IO = 11
    BAD_MODULE = 12
    BACKEND = 13
    CALLBACK = 14
    INTERNAL = 15


class Error(RuntimeError):
    """A call that failed, and left everything as it was.

    ``str(error)`` says what was wrong, where, and what would be right.
    """

    status: Status
    #: How far a transition came before it was taken back; None where it did not begin.
    report: "Optional[Report]"

    def __init__(self, status: Status, words: str, report: "Optional[Report]" = None) -> None:
        super().__init__(words)
        self.status = status
        self.report = report


def status_of(code: int) -> Status:
    """The status of a number, also of one that only a newer library knows."""
    try:
        return Status(code)
    except ValueError:
        return Status.INTERNAL

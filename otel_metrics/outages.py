"""What is said and counted of files while a disk does not take what they are given.

Threads: called from any thread. Nothing is guarded: two threads that fail at once at worst log a
line twice, and a count that both raise may be short, never zero.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

__all__ = ["DiskState", "Losses", "Outage"]

LOG_INTERVAL_S: Final = 60.0
"""What fails and works by turns is logged at most once in this time."""


class Outage:
    """Two log lines: one when something begins to fail, one when it works again.

    Args:
        logger: where they go.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._logged_s = -LOG_INTERVAL_S
        self._is_told = False

    def goes_on(self, message: str, *arguments: object) -> None:
        """Log that it fails, unless that was said last, or said a moment ago and then worked."""
        now = time.monotonic()
        if not self._is_told and now - self._logged_s >= LOG_INTERVAL_S:
            self._is_told, self._logged_s = True, now
            self._logger.warning(message, *arguments)

    def is_over(self, message: str, *arguments: object) -> None:
        """Log that it works again, where it was said that it fails."""
        if self._is_told:
            self._is_told = False
            self._logger.warning(message, *arguments)


class Losses:
    """Records that no file took, by the error's class; a forked child begins with none."""

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()
        self._pid = os.getpid()

    def count(self, error: OSError) -> None:
        """Count one record."""
        self.read()
        self._lost[type(error).__qualname__] += 1

    def read(self) -> Mapping[str, int]:
        """Return the records that were counted in this process."""
        if self._pid != os.getpid():
            self._lost.clear()
            self._pid = os.getpid()
        return dict(self._lost)


class DiskState:
    """Whether a disk takes what files of one place are given.

    Args:
        what: the files are called in log lines.
        place: where they are.
        losses: what counts the records that are lost.
        logger: where it is told.

    Attributes:
        last_error: why the last record was not taken; None once one was.
    """

    def __init__(self, what: str, place: str, losses: Losses, logger: logging.Logger) -> None:
        self.last_error: str | None = None
        self._what = what
        self._place = place
        self._losses = losses
        self._outage = Outage(logger)

    def failed(self, error: OSError, *, lost: bool = True) -> None:
        """Note that the disk refused; `lost` where a record is gone by it."""
        self.last_error = str(error)
        if lost:
            self._losses.count(error)
        message = "%s: %s; what is not kept is counted"
        self._outage.goes_on(message, self._what, ascii(self.last_error))

    def worked(self) -> None:
        """Note that it took a record."""
        self.last_error = None
        self._outage.is_over("%s: %s works again", self._what, ascii(self._place))

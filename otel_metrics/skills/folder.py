"""A folder of skill files on a disk: appends lines, numbers moves, reads records back.

Threads: called from any thread of any process; files are guarded as `line_files` says. What is kept
here (when what was logged) is not guarded: two threads that set it at once at worst log a line
twice.
"""

import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final

from otel_metrics import arguments, line_files
from otel_metrics.line_files import BadLine
from otel_metrics.lock_waits import LockWaits
from otel_metrics.outages import Losses

__all__ = ["LOST", "Folder"]

LOG_INTERVAL_S: Final = 60.0
"""At most one log line about a file's bad lines in this time."""
LOGGED_MAX: Final = 1_000
"""Files of which it is remembered when they were logged; with more, all are forgotten."""

LOST: Final = Losses()
"""Records that no file took, in any folder."""

_logger = logging.getLogger("otel_metrics.skills")


class Folder:
    """The skill files of one folder.

    Args:
        path: it is made where it is missing, now or when a line is appended.

    Attributes:
        path: of the folder, without links.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = arguments.folder("metrics_dir", path)
        self._waits = LockWaits()
        self._logged: dict[str, float] = {}
        with contextlib.suppress(OSError):  # told by the first append
            self._make()

    def append(self, name: str, line: bytes) -> None:
        """Append one line to a file of this folder.

        Raises:
            OSError: it was not written.
        """
        path = self._at(name)
        self._appended(path, lambda wait_s: line_files.append(path, line, wait_s=wait_s))

    def append_move(self, name: str, event_id: str, encode: Callable[[str], bytes]) -> str:
        """Append one line under an id that the file does not hold: the wanted one, or with `_2`.

        Args:
            encode: returns the line for an id.

        Returns:
            the id.

        Raises:
            OSError: it was not written.
        """
        path = self._at(name)
        chosen = event_id

        def write(wait_s: float) -> None:
            nonlocal chosen
            with line_files.locked(path, wait_s=wait_s) as append:
                chosen = _free_id(path, event_id)
                append(encode(chosen))

        self._appended(path, write)
        return chosen

    def read(self, name: str, limit: int | None, bad: list[BadLine]) -> list[dict[str, Any]]:
        """Return the last records of a file of this folder, all without a limit.

        Args:
            name: of the file; one that is not there has no records.
            bad: a list to which every line is added that is no record.

        Raises:
            OSError: it is there and cannot be read.
        """
        path = self._at(name)
        if os.path.islink(path):
            raise OSError(f"{path}: is a symbolic link; give the file itself")
        if limit is not None:
            records = line_files.read_last(path, limit, bad=bad)
        else:
            records = [record for _, record in line_files.read_lines(path, bad=bad)]
        if bad:
            self._tell(name, bad)
        return records

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _appended(self, path: str, write: Callable[[float], None]) -> None:
        with self._waits.of(path) as wait_s:
            try:
                write(wait_s)
            except FileNotFoundError:  # the folder was not made yet, or was removed
                self._make()
                write(wait_s)

    def _make(self) -> None:
        os.makedirs(os.path.dirname(self.path), line_files.FOLDER_MODE, exist_ok=True)
        line_files.make_folder(self.path)

    def _tell(self, name: str, bad: list[BadLine]) -> None:
        now = time.monotonic()
        if now - self._logged.get(name, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
            return
        if len(self._logged) >= LOGGED_MAX:
            self._logged.clear()
        self._logged[name] = now
        place = ascii(f"{self._at(name)}:{bad[0].number}")[1:-1]
        _logger.warning("%s: skipped, %s; %d such lines", place, bad[0].message, len(bad))


def _free_id(path: str, wanted: str) -> str:
    """Return an id that no record of the file has. Called with the file's lock held."""
    taken = {str(record.get("event_id")) for _, record in line_files.read_lines(path)}
    numbered = (f"{wanted}_{nth}" for nth in itertools.count(2))
    return next(each for each in itertools.chain((wanted,), numbered) if each not in taken)

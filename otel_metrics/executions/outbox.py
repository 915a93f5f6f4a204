"""Events of one agent that wait to be published: a file in the agent's folder.

An event is in the file before it is published, and leaves it once the broker has it. What is killed
in between is published again, under the same id.

Threads: called from any thread of any process; the file's lock guards each change of it.
"""

import errno
import os
from collections.abc import Collection
from typing import Final

from otel_metrics import line_files
from otel_metrics.executions import announcement
from otel_metrics.executions.replacing import replacing

__all__ = ["OUTBOX_BYTES_MAX", "Outbox"]

OUTBOX_BYTES_MAX: Final = 16 * 1024 * 1024
"""An event that finds so much waiting is refused."""


class Outbox:
    """The events of one agent that wait.

    Args:
        path: the file; it is there while something waits.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def put(self, line: bytes, *, wait_s: float = line_files.LOCK_WAIT_S) -> None:
        """Let one event wait behind the others.

        Args:
            wait_s: how long to wait for who changes the file.

        Raises:
            OSError: it is not in the file; among other reasons because the file is full.
        """
        with line_files.locked(self.path, wait_s=wait_s) as append:
            size = os.stat(self.path).st_size
            if size + len(line) > OUTBOX_BYTES_MAX:
                message = f"holds {size:,} bytes of events already; publish them first"
                raise OSError(errno.ENOSPC, message, self.path)
            append(line)

    def waiting(self) -> list[bytes]:
        """Return the events that wait, the oldest first; what is none is left where it is.

        Raises:
            OSError: the file is there and cannot be read.
        """
        lines = (each.text for each in line_files.scan(self.path) if isinstance(each.record, dict))
        return [line for line in lines if announcement.event_id(line) is not None]

    def remove(self, ids: Collection[str]) -> None:
        """Take out the events that the broker has.

        Raises:
            OSError: they are all still in the file.
        """
        if not ids or not os.path.lexists(self.path):
            return
        with line_files.locked(self.path):
            kept = [
                each.text
                for each in line_files.scan(self.path)
                if announcement.event_id(each.text) not in ids
            ]
            if not kept:
                os.unlink(self.path)
                return
            with replacing(self.path, sync=True) as file:
                file.writelines(line + b"\n" for line in kept)

"""Who is being served: at most `CONNECTIONS_MAX` connections, and which one makes room.

When all are taken, one that is idle makes room: that has not asked yet, the oldest first, or whose
answer is not being taken. So neither half-open connections nor dead readers lock a scraper out, and
no answer that is on its way is cut.

Threads: the accepting thread admits; each connection's own thread says what becomes of it. The
condition guards the set; the fields of a connection are written by its own thread, but `evicted`.
"""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Final, Literal

from otel_exporter_prometheus import wire

__all__ = ["CONNECTIONS_MAX", "Connection", "Slots"]

CONNECTIONS_MAX: Final = 64
"""At most this many connections are served at once."""
IDLE_S: Final = 0.25
"""Who has not asked, or has taken nothing of an answer, for so long may have to make room."""


@dataclass(slots=True, eq=False)
class Connection:
    """One of those that are served."""

    socket: socket.socket
    peer: str
    since: float
    stage: Literal["asking", "waiting", "taking"] = "asking"
    progressed_at: float = field(default_factory=time.monotonic)
    evicted: bool = False

    def progressed(self) -> None:
        """Note that some of the answer was taken."""
        self.progressed_at = time.monotonic()

    def answer_begins(self) -> None:
        """Note that the answer is on its way."""
        self.progressed()
        self.stage = "taking"

    def make_room(self) -> None:
        """End it: who is still asking is told so by its thread, which reads the end."""
        self.evicted = True
        if self.stage == "taking":
            wire.abort(self.socket)
        else:
            with contextlib.suppress(OSError):
                wire.shut(self.socket, socket.SHUT_RD)


class Slots:
    """The connections that are served."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[Connection] = set()

    def __len__(self) -> int:
        """Return how many are taken."""
        return len(self._taken)

    def admit(self, connection: Connection) -> bool:
        """Take a slot, of another's if need be; False when all are in good use."""
        with self._changed:
            leaves = None
            if len(self._taken) >= CONNECTIONS_MAX:
                leaves = self._idle()
                if leaves is None:
                    return False
                self._taken.discard(leaves)
            connection.progressed()
            self._taken.add(connection)
        if leaves is not None:
            leaves.make_room()
        return True

    def release(self, connection: Connection) -> None:
        """Give a slot back."""
        with self._changed:
            self._taken.discard(connection)
            self._changed.notify_all()

    def end(self, timeout_s: float) -> None:
        """Send those away that have not asked, and wait for the others."""
        with self._changed:
            asking = [each for each in self._taken if each.stage == "asking"]
        for each in asking:
            each.make_room()
        with self._changed:
            self._changed.wait_for(lambda: not self._taken, timeout=timeout_s)

    def after_fork(self) -> list[socket.socket]:
        """Forget, in a forked child, the parent's connections; return what it inherited of them."""
        inherited = [each.socket for each in list(self._taken)]
        self._changed = threading.Condition()
        self._taken = set()
        return inherited

    def _idle(self) -> Connection | None:
        latest = time.monotonic() - IDLE_S
        idle = [
            each for each in self._taken if each.stage != "waiting" and each.progressed_at < latest
        ]
        return min(
            idle, key=lambda each: (each.stage != "asking", each.progressed_at), default=None
        )

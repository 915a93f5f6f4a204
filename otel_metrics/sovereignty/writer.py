"""A bounded queue in front of a database, and the thread that empties it.

What waits stays in the queue until it is committed, so that a database that is locked, full or
damaged costs nothing but room. Only what finds no room is lost, counted, and named.

Threads: `put` runs on the thread that records and never waits. `otel-metrics-<name>` alone takes
from the queue; it is started by the first `put`, or by `start`. `_condition` guards the queue.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

from otel_metrics.errors import OtelMetricsError

__all__ = ["QueueFullError", "Writer"]

QUEUE_ROWS_MAX: Final = 100_000
"""Rows that wait: 60 s of 1,500 a second."""
QUEUE_BYTES_MAX: Final = 64 * 2**20
"""Text of the rows that wait."""
BATCH_ROWS_MAX: Final = 1_000
"""Rows of one transaction."""
GATHER_S: Final = 0.02
"""How long the first row of a batch may wait for others."""
RETRY_S: Final = 1.0
"""Rest after a batch that could not be written."""
ATTEMPT_S: Final = 5.0
"""How long a batch waits for another process's lock until that is said to be a trouble."""
CHANGE_INTERVAL_S: Final = 60.0
"""A trouble that comes and goes is told at most this often."""
IDLE_S: Final = 3600.0
"""The thread looks after itself at least this often."""

_logger = logging.getLogger("otel_metrics.sovereignty")

Row = TypeVar("Row")


class QueueFullError(OtelMetricsError):
    """The queue in front of a database has no room."""


class Writer(Generic[Row]):
    """Writes rows on a thread of its own, in the order in which they were put.

    Args:
        name: what the database is called in logs.
        write: writes a batch, waiting for others so many seconds; raises what kept it from it.
        idle: called when nothing waits; says in how many seconds it wants to be called again, None
            for no more until `wake`.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[Row], float], None],
        idle: Callable[[], float | None],
    ) -> None:
        self._name = name
        self._write = write
        self._idle = idle
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what waits, which is a parent process's, and its thread."""
        self._condition = threading.Condition()
        self._queue: deque[tuple[Row, int]] = deque()
        self._bytes = 0
        self._put = self._done = 0
        self._urgent = self._asked = False
        self._close_by: float | None = None
        self._thread: threading.Thread | None = None
        self._due: float | None = None  # when `idle` is called by itself; the thread's alone
        self._trouble: str | None = None
        self._told_at: float | None = None

    @property
    def trouble(self) -> str | None:
        """Why what waits cannot be written at the moment; None where it can."""
        return self._trouble

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing keeps it from being written."""
        return not self._queue and self._trouble is None

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return len(self._queue)

    def start(self) -> None:
        """Start the thread, where it does not run."""
        with self._condition:
            self._start()

    def put(self, row: Row, size: int) -> None:
        """Queue one row of `size` bytes.

        Raises:
            QueueFullError: there is no room.
        """
        with self._condition:
            if len(self._queue) >= QUEUE_ROWS_MAX or self._bytes + size > QUEUE_BYTES_MAX:
                why = f": {self._trouble}" if self._trouble else ""
                raise QueueFullError(f"{len(self._queue)} rows wait already{why}")
            self._queue.append((row, size))
            self._bytes += size
            self._put += 1
            self._start()
            if len(self._queue) in (1, BATCH_ROWS_MAX):
                self._condition.notify_all()

    def wake(self) -> None:
        """Have `idle` called as soon as nothing waits."""
        with self._condition:
            self._asked = True
            self._start()
            self._condition.notify_all()

    def remind(self) -> None:
        """Have `idle` called as soon as nothing waits, unless it has said when it wants to be."""
        if self._due is None:
            self.wake()

    def flush(self, deadline: float) -> bool:
        """Write what waits now, and tell whether that was done by `deadline` (monotonic clock)."""
        with self._condition:
            number = self._put
            self._urgent = self._done < number
            self._condition.notify_all()
            return self._condition.wait_for(
                lambda: self._done >= number, timeout=max(0.0, deadline - time.monotonic())
            )

    def close(self, deadline: float) -> bool:
        """Write what waits, by `deadline`, and end the thread; tell whether nothing is left.

        The next `put` starts it again.
        """
        with self._condition:
            self._close_by = deadline
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        elif self._queue:  # the interpreter ends, and starts no thread any more
            self._write_next(max(0.0, deadline - time.monotonic()))
        return not self._queue

    def _start(self) -> None:
        """Called with the condition held."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._close_by = None
        thread = threading.Thread(target=self._run, name=f"otel-metrics-{self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # as above: `close` writes
            return
        self._thread = thread

    def _run(self) -> None:
        self._due = time.monotonic()
        while True:
            with self._condition:
                self._await_turn(self._due)
                if self._is_over():
                    self._thread = self._due = None
                    return
                self._due = time.monotonic() if self._asked else self._due
                self._asked = False
            if self._queue:
                self._write_next(self._patience_s())
            elif self._due is not None and time.monotonic() >= self._due:
                self._due = self._step()

    def _await_turn(self, due: float | None) -> None:
        """Wait until there is something to do. Called with the condition held."""
        if self._trouble is not None and self._queue:
            self._condition.wait_for(lambda: self._close_by is not None, timeout=RETRY_S)
            return
        pause_s = IDLE_S if due is None else max(0.0, due - time.monotonic())
        if not self._queue:
            self._condition.wait_for(
                lambda: self._queue or self._asked or self._close_by is not None, timeout=pause_s
            )
        if self._queue:
            self._condition.wait_for(self._is_due, timeout=GATHER_S)

    def _is_due(self) -> bool:
        return self._urgent or len(self._queue) >= BATCH_ROWS_MAX or self._close_by is not None

    def _is_over(self) -> bool:
        if self._close_by is None:
            return False
        return not self._queue or time.monotonic() >= self._close_by

    def _patience_s(self) -> float:
        if self._close_by is None:
            return ATTEMPT_S
        return max(0.0, min(ATTEMPT_S, self._close_by - time.monotonic()))

    def _write_next(self, patience_s: float) -> None:
        """Write the next batch; one that cannot be written stays."""
        batch = list(islice(self._queue, BATCH_ROWS_MAX))
        try:
            self._write([row for row, _ in batch], patience_s)
        except Exception as error:  # noqa: BLE001  # the thread must outlive any trouble of a disk
            self._note(str(error) or type(error).__qualname__)
            return
        with self._condition:
            for _, size in batch:
                self._queue.popleft()
                self._bytes -= size
            self._done += len(batch)
            self._urgent = self._urgent and bool(self._queue)
            self._condition.notify_all()
        self._note(None)

    def _step(self) -> float | None:
        """Do a bit of what there is to do beside; return when there is more."""
        try:
            pause_s = self._idle()
        except Exception as error:  # noqa: BLE001  # as above
            self._note(str(error) or type(error).__qualname__)
            pause_s = RETRY_S
        else:
            self._note(None)
        return None if pause_s is None else time.monotonic() + pause_s

    def _note(self, trouble: str | None) -> None:
        """Keep the state, and log its changes."""
        was, self._trouble = self._trouble, trouble
        now = time.monotonic()
        if trouble is None:
            if was is not None and self._told_at is not None:
                _logger.warning("%s: works again", self._name)
            self._told_at = self._told_at if was is None else None
        elif was is None and (self._told_at is None or now - self._told_at >= CHANGE_INTERVAL_S):
            self._told_at = now
            _logger.warning("%s: %s; %d rows wait", self._name, trouble, len(self._queue))

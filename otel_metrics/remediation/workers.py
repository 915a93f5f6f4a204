"""Does jobs in the order in which they were given, on a bounded number of threads.

A thread ends when nothing waits, so that an idle service has none of them.

Threads: jobs are given by any; `_changed` guards what waits and how many threads there are. All of
them are daemons: what hangs holds no exit up.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Hand", "Workers", "at_once"]

Job = Callable[[], object]
"""Never raises."""
Hand = Callable[[Job], object]
"""Has a job done: now, or on another thread."""


def at_once(job: Job) -> None:
    """Do a job before returning."""
    job()


class Workers:
    """Threads that do jobs.

    Args:
        name: of the threads.
        threads_max: jobs that are done at the same time.
        waiting_max: jobs that wait for a thread.
    """

    def __init__(self, name: str, *, threads_max: int, waiting_max: int) -> None:
        self._name = name
        self._threads_max = threads_max
        self._waiting_max = waiting_max
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._threads = 0

    @property
    def is_full(self) -> bool:
        """Whether no more jobs are taken."""
        with self._changed:
            return len(self._waiting) >= self._waiting_max

    def add(self, job: Job) -> bool:
        """Have a job done; False where too many wait."""
        with self._changed:
            if len(self._waiting) >= self._waiting_max:
                return False
            self._waiting.append(job)
            if self._threads >= self._threads_max:
                return True
            self._threads += 1
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no more, or the interpreter ends
            self._work()
        return True

    def wait_idle(self, deadline_s: float) -> bool:
        """Wait until all is done, or that reading of the monotonic clock; say whether it is so."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._threads, max(0.0, deadline_s - time.monotonic())
            )

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Job | None:
        """Return the next job; None where the thread ends, since nothing waits."""
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            self._changed.notify_all()
            return None

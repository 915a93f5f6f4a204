"""Clients that send requests to a service's workers, and remember who answered when."""

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

__all__ = ["Load"]

CLIENTS = 4
PAUSE_S = 0.005
"""Between two requests of a client: the workers are busy, and others on the machine get a turn."""


@dataclass
class Load:
    """Requests to a port, from several clients at once, until the block ends.

    The service answers a request with the number of the process that counted it.

    Attributes:
        sent: requests begun: no page may ever show more.
        answered: when each was answered, by worker.
    """

    port: int
    answered: dict[int, list[float]] = field(default_factory=dict)
    _begun: Counter[int] = field(default_factory=Counter)
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        """Return how many requests were begun."""
        return sum(self._begun.values())

    @property
    def total(self) -> int:
        """Return how many requests were answered."""
        return sum(len(times) for times in list(self.answered.values()))

    def before(self, worker: int, time_s: float) -> int:
        """Return how many requests a worker had answered at a time."""
        return sum(at < time_s for at in self.answered.get(worker, []))

    def _ask(self, number: int) -> None:
        while not self._ending.wait(PAUSE_S):
            self._begun[number] += 1
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("GET", "/")
                worker = int(connection.getresponse().read())
            except (OSError, http.client.HTTPException):
                continue  # the worker was killed
            finally:
                connection.close()
            self.answered.setdefault(worker, []).append(time.monotonic())

"""The requests that wait for the engine's thread. Bounded; who is refused is told why at once.

A storm for one target leaves room for others: of what waits for one playbook and target, only the
first so many are taken, since a run of it holds the others back. Nothing that was taken is dropped.

Threads: none of its own; the engine's lock guards it.
"""

from collections import Counter, deque
from typing import Final

from otel_metrics.remediation.model import Outcome, Request
from otel_metrics.service.samples import Resource

__all__ = ["ALIKE_MAX", "QUEUE_MAX", "Waiting"]

QUEUE_MAX: Final = 1_000
"""Submitted requests that wait; more are dropped and counted."""
ALIKE_MAX: Final = 10
"""Of them for one playbook and target."""

_Alike = tuple[str, Resource]


class Waiting:
    """Requests in the order in which they came."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._by_key: dict[str, Request] = {}
        self._alike: Counter[_Alike] = Counter()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> Outcome | None:
        """Take a request; return why not where it is not taken."""
        if self._by_key.get(request.key) == request:
            return Outcome(result="repeated", detail="the same waits already")
        if len(self._requests) >= QUEUE_MAX:
            return Outcome(result="dropped", detail="the queue is full")
        if self._alike[_alike(request)] >= ALIKE_MAX:
            detail = f"{ALIKE_MAX} requests for {request.playbook} on this target wait already"
            return Outcome(result="dropped", detail=detail)
        self._requests.append(request)
        self._by_key[request.key] = request
        self._alike[_alike(request)] += 1
        return None

    def next(self) -> Request:
        """Return the first request, which waits no more."""
        request = self._requests.popleft()
        if self._by_key.get(request.key) is request:
            del self._by_key[request.key]
        alike = _alike(request)
        self._alike[alike] -= 1
        if not self._alike[alike]:
            del self._alike[alike]
        return request


def _alike(request: Request) -> _Alike:
    return request.playbook, request.target

"""When each service metric is asked for its values, and until when an answer counts. Pure."""

import math
from dataclasses import dataclass, field

from otel_metrics.catalog.model import Metric, Source
from otel_metrics.service.readings import Read
from otel_metrics.service.samples import Resource

__all__ = ["Turn"]


@dataclass(slots=True, eq=False)
class Turn:
    """One metric's place in the round: at most one question of it is under way.

    Times are readings of the monotonic clock.

    Attributes:
        read: asks the source; may wait. None where there is nothing to ask now.
        shared: whether one process of the service asks for all of them.
        due_s: when the source is asked next.
        asked_s: when the question that is under way was put; None while there is none.
        fails_s: when that question counts as not answered, and then once an interval.
        is_late: whether its answer will be of no use, since it is late or another source is asked
            from now on.
        known: the resources that had a value in the last answer.
    """

    metric: Metric
    source: Source
    read: Read | None
    shared: bool
    due_s: float
    asked_s: float | None = None
    fails_s: float = math.inf
    is_late: bool = False
    known: frozenset[Resource] = field(default_factory=frozenset)

    @property
    def next_s(self) -> float:
        """When there is something to do about it."""
        if self.read is None:
            return math.inf
        return self.due_s if self.asked_s is None else self.fails_s

    def change(self, read: Read | None, *, shared: bool, now_s: float) -> None:
        """Ask another source from now on, at the interval that was; none is asked beside one that
        has not answered, so however often it changes, one question at most is under way."""
        if self.read is None:
            self.due_s = max(self.due_s, now_s)
        self.read = read
        self.shared = shared
        self.is_late = self.asked_s is not None

    def begin(self, now_s: float) -> None:
        """Note that the source is asked now. Intervals that went by meanwhile are not made up."""
        self.asked_s = now_s
        self.fails_s = now_s + self.source.timeout_s
        self.is_late = False
        self.due_s = _next_after(now_s, self.due_s, self.source.interval_s)

    def be_late(self, now_s: float) -> None:
        """Note that there is no answer in time."""
        self.is_late = True
        self.fails_s = _next_after(now_s, self.fails_s, self.source.interval_s)

    def end(self, now_s: float) -> None:
        """Note that the source has answered, in time or not; a late one is asked at its next
        interval, and not at once."""
        self.asked_s = None
        if self.is_late and self.due_s <= now_s:
            self.due_s = _next_after(now_s, self.due_s, self.source.interval_s)


def _next_after(now_s: float, due_s: float, interval_s: float) -> float:
    """Return the first of the times `due_s`, `due_s + interval_s`, … that is still to come, but
    never `due_s` itself."""
    passed = max(0.0, now_s - due_s)
    return due_s + interval_s * (math.floor(passed / interval_s) + 1)

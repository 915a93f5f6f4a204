"""When each service metric is asked for its values, and until when an answer counts. Pure."""

import math
from dataclasses import dataclass, field
from typing import Final

from otel_metrics.catalog.model import Metric, Source
from otel_metrics.service.readings import Read
from otel_metrics.service.samples import Resource

__all__ = ["AGAIN_S", "Turn"]

AGAIN_S: Final = 1.0
"""A source that changes is asked no sooner after the last question, if that is before its turn."""


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
        began_s: when the last question was put.
        is_late: whether its answer will be of no use, since it is late or another source is asked
            from now on.
        is_other: whether another source is asked from now on than the one that is under way.
        known: the resources that had a value in the last answer.
    """

    metric: Metric
    source: Source
    read: Read | None
    shared: bool
    due_s: float
    asked_s: float | None = None
    fails_s: float = math.inf
    began_s: float = -math.inf
    is_late: bool = False
    is_other: bool = False
    known: frozenset[Resource] = field(default_factory=frozenset)

    @property
    def next_s(self) -> float:
        """When there is something to do about it."""
        if self.read is None:
            return math.inf
        return self.due_s if self.asked_s is None else self.fails_s

    def change(self, read: Read | None, *, shared: bool, now_s: float) -> None:
        """Ask another source from now on, at once; none is asked beside one that has not answered,
        so however often it changes, one question at most is under way."""
        self.due_s = max(now_s, min(self.due_s, self.began_s + AGAIN_S))
        self.read = read
        self.shared = shared
        self.is_late = self.is_other = self.asked_s is not None

    def begin(self, now_s: float) -> None:
        """Note that the source is asked now. Intervals that went by meanwhile are not made up."""
        self.asked_s = self.began_s = now_s
        self.fails_s = now_s + self.source.timeout_s
        self.is_late = self.is_other = False
        self.due_s = _next_after(now_s, self.due_s, self.source.interval_s)

    def be_late(self, now_s: float) -> None:
        """Note that there is no answer in time."""
        self.is_late = True
        self.fails_s = _next_after(now_s, self.fails_s, self.source.interval_s)

    def end(self, now_s: float) -> None:
        """Note that the source has answered, in time or not; a late one is asked at its next
        interval, and not at once, but another one that took its place is."""
        self.asked_s = None
        if self.is_late and not self.is_other and self.due_s <= now_s:
            self.due_s = _next_after(now_s, self.due_s, self.source.interval_s)


def _next_after(now_s: float, due_s: float, interval_s: float) -> float:
    """Return the first of the times `due_s`, `due_s + interval_s`, … that is still to come, but
    never `due_s` itself."""
    passed = max(0.0, now_s - due_s)
    return due_s + interval_s * (math.floor(passed / interval_s) + 1)

"""When each series of a gauge got the value that it has, so that the newest of several processes
can be told.

Used by one thread at a time, the one that makes something of a collection.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import cast

from otel_exporter_prometheus.merge import Family
from otel_exporter_prometheus.points import Number, Point

__all__ = ["GaugeTimes"]


class GaugeTimes:
    """Remembers the values of the last collection.

    Args:
        timed: tells of a metric that its points say themselves when they were set.
    """

    def __init__(self, timed: Callable[[str], bool]) -> None:
        self._timed = timed
        self._seen: dict[str, dict[str, Number]] = {}

    def clear(self) -> None:
        """Forget what a parent process has seen."""
        self._seen.clear()

    def stamped(self, families: Iterable[Family]) -> list[Family]:
        """Return the families with the time at which each gauge's value was first seen."""
        before, self._seen = self._seen, {}
        now = time.monotonic_ns()
        return [
            self._stamped(family, before.get(family.name, {}), now)
            if family.rule == "newest" and not self._timed(family.source[0])
            else family
            for family in families
        ]

    def _stamped(self, family: Family, before: Mapping[str, Number], now: int) -> Family:
        seen: dict[str, Number] = {}
        for labels, point in cast("Mapping[str, Number]", family.series).items():
            known = before.get(labels)
            same = known is not None and _same(known.value, point.value)
            seen[labels] = known if same and known is not None else Number(point.value, now)
        self._seen[family.name] = seen
        series: dict[str, Point] = dict(seen)
        return replace(family, series=series)


def _same(one: float, other: float) -> bool:
    return bool(one == other or (one != one and other != other))  # NaN stays NaN

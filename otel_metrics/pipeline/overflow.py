"""Makes it visible that an instrument of the service's own has more attribute sets than are kept.

Past its limit the SDK folds new sets into one series and says nothing. What is over the budget of a
metric of the catalog is counted where it is recorded (`series.py`), exactly; of any other
instrument only the collected points are there to be seen. What they tell is how many measurements
fell into a histogram's overflow series, and of other kinds that at least one did, when its value
has changed since the last collection.

Threads: used by the thread that collects, alone.
"""

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics.export import Metric, MetricsData

from otel_metrics import instruments, rejections

__all__ = ["OverflowWatch"]

METRICS_MAX: Final = 1_000
"""Metrics over their limit that are watched; one log line has named each before that."""

_OVERFLOW: Final = {rejections.OVERFLOW_ATTRIBUTE: True}
_REMEDY: Final = "raise its limit by a View (aggregation_cardinality_limit)"


class OverflowWatch:
    """Counts and names what overflows, from one collection to the next."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int | float] = {}  # the overflow point's newest state

    def look(self, collected: MetricsData) -> None:
        """Count what has overflowed since the last collection, and log each metric once.

        Costs a comparison a metric: the SDK makes the overflow series last, since after it no set
        of attributes is new.
        """
        for resource_metrics in collected.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                if scope_metrics.scope.name == instruments.SCOPE:
                    continue
                for metric in scope_metrics.metrics:
                    points = metric.data.data_points
                    if points and points[-1].attributes == _OVERFLOW:
                        self._note(scope_metrics.scope.name, metric, points)

    def _note(self, scope: str, metric: Metric, points: Sequence[Any]) -> None:
        key = (scope, metric.name)
        if key not in self._seen and len(self._seen) >= METRICS_MAX:
            return
        newest = points[-1]
        state = newest.count if hasattr(newest, "count") else newest.value
        before = self._seen.get(key)
        if state == before:
            return
        self._seen[key] = state
        rejections.overflow(
            metric.name,
            len(points) - 1,
            lambda: [point.attributes or {} for point in points[:-1]],
            measurements=state - (before or 0) if hasattr(newest, "count") else 1,
            remedy=_REMEDY,
        )

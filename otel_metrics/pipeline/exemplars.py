"""Changes to a collection before it is handed on: exemplars that are given back, a value that is
brought up to date, the time at which a gauge was set.

Collecting empties the SDK's exemplar reservoirs: without this a scrape would take from the archive
what the archive has not seen yet, and the other way round.
"""

import dataclasses
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import Metric, MetricsData

from otel_metrics.pipeline.batch import with_points

__all__ = ["ExemplarKeeper", "with_times", "with_value"]

SERIES_MAX: Final = 10_000
"""Series whose exemplars are kept; those of further ones are seen by one collection only."""

Key = tuple[Any, ...]
Kept = Mapping[Key, Sequence[Exemplar]]
Change = Callable[[object, Metric, Any], Any]


class ExemplarKeeper:
    """Gives back to each collection the newest exemplars of the series.

    The lanes' batch has those of its own interval, the page also those of the one before. Used by
    the hub's thread alone.
    """

    def __init__(self) -> None:
        self._current: Kept = {}
        self._before: Kept = {}

    def keep(
        self, collected: MetricsData | None, *, renew: bool
    ) -> tuple[MetricsData | None, MetricsData | None]:
        """Return what was collected for the page and for the lanes; `renew` begins an interval."""
        found = {} if collected is None else _found(collected)
        current = _bounded({**self._current, **found})
        shown = {**self._before, **current}
        if renew:
            self._before, self._current = current, {}
        else:
            self._current = current
        if collected is None:
            return None, None
        return _with_exemplars(collected, found, shown), _with_exemplars(collected, found, current)


def with_value(collected: MetricsData, name: str, value: float) -> MetricsData:
    """Return a collection in which the points of the metric `name` have another value."""

    def changed(scope: object, metric: Metric, point: Any) -> Any:
        del scope, metric
        return dataclasses.replace(point, value=value)

    return _changed(collected, changed, only=(name,))


def with_times(
    collected: MetricsData, times: Mapping[str, Mapping[frozenset[Any], int]]
) -> MetricsData:
    """Return a collection in which gauges say when each value was set, by metric and attributes."""

    def changed(scope: object, metric: Metric, point: Any) -> Any:
        del scope
        at = times[metric.name].get(frozenset(point.attributes.items()))
        return point if at is None else dataclasses.replace(point, time_unix_nano=at)

    return _changed(collected, changed, only=times)


def _bounded(kept: dict[Key, Sequence[Exemplar]]) -> Kept:
    return kept if len(kept) <= SERIES_MAX else dict(list(kept.items())[-SERIES_MAX:])


def _found(collected: MetricsData) -> dict[Key, Sequence[Exemplar]]:
    return {
        _series(scope_metrics.scope, metric, point): point.exemplars
        for resource_metrics in collected.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
        for point in metric.data.data_points
        if point.exemplars
    }


def _with_exemplars(collected: MetricsData, found: Kept, wanted: Kept) -> MetricsData:
    if len(wanted) == len(found):  # `wanted` holds all that was found: nothing is missing
        return collected

    def changed(scope: object, metric: Metric, point: Any) -> Any:
        key = _series(scope, metric, point)
        kept = None if key in found else wanted.get(key)
        return point if kept is None else dataclasses.replace(point, exemplars=kept)

    return _changed(collected, changed)


def _changed(
    collected: MetricsData, change: Change, *, only: Container[str] | None = None
) -> MetricsData:
    def metric_with(scope: object, metric: Metric) -> Metric:
        if only is not None and metric.name not in only:
            return metric
        return with_points(
            metric, [change(scope, metric, point) for point in metric.data.data_points]
        )

    return MetricsData(
        resource_metrics=[
            dataclasses.replace(
                resource_metrics,
                scope_metrics=[
                    dataclasses.replace(
                        scope_metrics,
                        metrics=[
                            metric_with(scope_metrics.scope, m) for m in scope_metrics.metrics
                        ],
                    )
                    for scope_metrics in resource_metrics.scope_metrics
                ],
            )
            for resource_metrics in collected.resource_metrics
        ]
    )


def _series(scope: object, metric: Metric, point: Any) -> Key:
    return (scope, metric.name, frozenset((k, str(v)) for k, v in point.attributes.items()))

"""Keeps each series' newest exemplars until the next interval.

Collecting empties the SDK's exemplar reservoirs: without this a scrape would take from the archive
what the archive has not seen yet.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import Metric, MetricsData

__all__ = ["ExemplarKeeper"]

SERIES_MAX: Final = 10_000
"""Series whose exemplars are kept; those of further ones are seen by one collection only."""


class ExemplarKeeper:
    """Gives back to a collection the exemplars that an earlier one of the same interval took.

    Used by the hub's thread alone.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Sequence[Exemplar]] = {}

    def keep(self, collected: MetricsData, *, renew: bool) -> MetricsData:
        """Return `collected` with the exemplars of this interval; `renew` begins the next one."""
        found: dict[tuple[Any, ...], Sequence[Exemplar]] = {}
        missing = bool(self._kept)
        for scope, metric in _metrics(collected):
            for point in metric.data.data_points:
                if point.exemplars:
                    found[_series(scope, metric, point)] = point.exemplars
        if missing:
            collected = self._restored(collected, found)
        self._kept = {} if renew else dict(list((self._kept | found).items())[-SERIES_MAX:])
        return collected

    def _restored(self, collected: MetricsData, found: dict[tuple[Any, ...], Any]) -> MetricsData:
        def point_with(scope: object, metric: Metric, point: Any) -> Any:
            key = _series(scope, metric, point)
            kept = None if key in found else self._kept.get(key)
            return point if kept is None else dataclasses.replace(point, exemplars=kept)

        def metric_with(scope: object, metric: Metric) -> Metric:
            points = [point_with(scope, metric, point) for point in metric.data.data_points]
            data: Any = metric.data  # four kinds, each with points of its own
            return dataclasses.replace(metric, data=dataclasses.replace(data, data_points=points))

        return MetricsData(
            resource_metrics=[
                dataclasses.replace(
                    resource_metrics,
                    scope_metrics=[
                        dataclasses.replace(
                            scope_metrics,
                            metrics=[
                                metric_with(scope_metrics.scope, metric)
                                for metric in scope_metrics.metrics
                            ],
                        )
                        for scope_metrics in resource_metrics.scope_metrics
                    ],
                )
                for resource_metrics in collected.resource_metrics
            ]
        )


def _metrics(collected: MetricsData) -> list[tuple[object, Metric]]:
    return [
        (scope_metrics.scope, metric)
        for resource_metrics in collected.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
    ]


def _series(scope: object, metric: Metric, point: Any) -> tuple[Any, ...]:
    return (scope, metric.name, frozenset((k, str(v)) for k, v in point.attributes.items()))

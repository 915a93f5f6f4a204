"""Counts the points of a batch, and cuts a batch into smaller ones. Changes none."""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from opentelemetry.sdk.metrics.export import Metric, MetricsData

__all__ = ["count_points", "cut", "cut_points", "joined", "with_points"]

Item = TypeVar("Item")


def count_points(data: MetricsData) -> int:
    """Return how many data points a batch holds."""
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def cut_points(data: MetricsData, parts: int) -> list[MetricsData]:
    """Return batches of about as many points each, in order, with all that a point belongs to.

    There are `parts` of them, or one a point where there are fewer points.
    """
    edges = _edges(count_points(data), parts)
    if len(edges) <= 2:
        return [data]
    return [_slice(data, start, stop) for start, stop in pairwise(edges)]


def cut(items: Sequence[Item], parts: int) -> list[Sequence[Item]]:
    """Return a sequence in so many parts of about the same length, or in one for each item."""
    edges = _edges(len(items), parts)
    return [items[start:stop] for start, stop in pairwise(edges)]


def joined(parts: Iterable[MetricsData]) -> MetricsData:
    """Return one batch of what several hold."""
    return MetricsData([resource for part in parts for resource in part.resource_metrics])


def with_points(metric: Metric, points: list[Any]) -> Metric:
    """Return a metric with these points of its own in place of all."""
    data: Any = metric.data  # of any of the four types: a point goes back to where it came from
    return dataclasses.replace(metric, data=dataclasses.replace(data, data_points=points))


def _edges(total: int, parts: int) -> list[int]:
    """Return where parts of about the same size begin and the last one ends; no part is empty."""
    parts = max(1, min(parts, total))
    return [total * part // parts for part in range(parts + 1)]


def _slice(data: MetricsData, start: int, stop: int) -> MetricsData:
    """Return the points from the one numbered `start` up to `stop`."""
    passed = 0
    resources = []
    for resource in data.resource_metrics:
        scopes = []
        for scope in resource.scope_metrics:
            metrics = []
            for metric in scope.metrics:
                points = list(metric.data.data_points)
                kept = points[max(0, start - passed) : max(0, stop - passed)]
                passed += len(points)
                if kept:
                    metrics.append(with_points(metric, kept))
            if metrics:
                scopes.append(dataclasses.replace(scope, metrics=metrics))
        if scopes:
            resources.append(dataclasses.replace(resource, scope_metrics=scopes))
    return MetricsData(resources)

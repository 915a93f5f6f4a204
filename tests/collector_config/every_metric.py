"""`python every_metric.py`: a service that records every metric of the catalog in force.

Each with every attribute set that its requirement levels allow. What it records depends on the
catalog alone, so that whoever imports this module knows what there is to be seen.
"""

import sys
from collections.abc import Iterator
from itertools import combinations
from typing import Final, NamedTuple

import otel_metrics
from otel_metrics import instruments
from otel_metrics.catalog import Attribute, Catalog, Metric

__all__ = ["MARK", "Recorded", "recorded"]

MARK: Final = "recorded by hand"
"""In each text attribute, so that no series here is one that the pipeline has of itself."""

Scalar = str | int | float | bool


class Recorded(NamedTuple):
    """One series and the values that it was given; only a histogram has several."""

    metric: Metric
    attributes: dict[str, Scalar]
    values: tuple[int | float, ...]


def recorded(catalog: Catalog) -> list[Recorded]:
    """Return every series of every metric."""
    series = [
        (metric, attributes)
        for metric in catalog.metrics.values()
        for attributes in _attribute_sets(metric, catalog)
    ]
    return [
        Recorded(metric, attributes, _values(metric, number))
        for number, (metric, attributes) in enumerate(series, 1)
    ]


def _attribute_sets(metric: Metric, catalog: Catalog) -> Iterator[dict[str, Scalar]]:
    """Yield the required attributes with every choice of the others."""
    required = [key for key in metric.attributes if metric.levels[key] == "required"]
    others = [key for key in metric.attributes if key not in required]
    for size in range(len(others) + 1):
        for chosen in combinations(others, size):
            yield {key: _value(catalog.attributes[key]) for key in [*required, *chosen]}


def _value(attribute: Attribute) -> Scalar:
    """Return a value of the attribute's type; a text is one that is hard to quote."""
    if attribute.type == "enum":
        return attribute.members[-1].value
    values: dict[str, Scalar] = {"boolean": True, "int": 7, "double": 0.5}
    return values.get(attribute.type, f'{MARK}: "{attribute.key}" \\ é')


def _values(metric: Metric, number: int) -> tuple[int | float, ...]:
    """Return values that no other series has; those of a histogram fall on, between and beyond its
    bounds."""
    part = 0 if metric.value_type == "int" else 1 / 3
    if metric.instrument == "histogram":
        return (*map(type(part), metric.buckets[:2]), number + part, metric.buckets[-1] + 1)
    sign = -1 if metric.instrument == "updowncounter" else 1
    return (sign * (number + part),)


def main() -> None:
    """Record everything, say so, and end with standard input."""
    telemetry = otel_metrics.configure()
    everything = recorded(instruments.catalog())
    for metric in {each.metric.name: each.metric for each in everything}.values():
        _record(metric, [each for each in everything if each.metric is metric])
    verdicts = telemetry.flush(30)
    print("ready", {name: verdict.status for name, verdict in verdicts.items()}, flush=True)
    sys.stdin.read()


def _record(metric: Metric, series: list[Recorded]) -> None:
    """Give a metric its values, by its handle or, where it is read, as what is read."""
    if metric.observable and not instruments.is_set(metric.name):
        instruments.observe(
            metric.name, lambda: [(each.values[0], each.attributes) for each in series]
        )
        return
    handle = instruments.metric(metric.name)
    verbs = {"histogram": handle.record, "gauge": handle.set}
    for each in series:
        for value in each.values:
            verbs.get(metric.instrument, handle.add)(value, each.attributes)


if __name__ == "__main__":
    main()

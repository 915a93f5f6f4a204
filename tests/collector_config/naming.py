"""What is to be seen of the catalog in Prometheus, what is seen, and how the two differ."""

import operator
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from itertools import accumulate
from typing import Final

from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.collector_config.every_metric import MARK, Recorded

__all__ = ["Shown", "differences", "expected", "of_openmetrics", "of_samples", "of_text"]

Series = tuple[str, frozenset[tuple[str, str]]]
Shown = dict[Series, float]
"""Each sample's name and labels, without those that a path adds itself, and its value."""

OWN_FAMILIES: Final = {"target_info"}
"""The resource, which a path shows in its own way: our page merges that of several processes."""
OWN_LABELS: Final = {"job", "instance"}
"""Made of service.namespace, service.name and service.instance.id by who gets OTLP; to a page they
are added by who scrapes it. Not `otel_scope_*`: no path shows them unless told to."""


def expected(series: Iterable[Recorded]) -> Shown:
    """Return what Prometheus is to hold of what was recorded."""
    return {
        (name, _labels({**each.attributes, **extra})): value
        for each in series
        for name, extra, value in _samples(each)
    }


def _samples(series: Recorded) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, further labels and value of each sample of a series."""
    name, values = series.metric.prometheus, series.values
    if series.metric.instrument != "histogram":
        yield name, {}, values[0]
        return
    bounds = [*series.metric.buckets, float("inf")]
    counts = [0] * len(bounds)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    for bound, count in zip(bounds, accumulate(counts), strict=True):
        yield f"{name}_bucket", {"le": str(bound)}, count
    yield f"{name}_sum", {}, reduce(operator.add, values)  # `sum` rounds in another way
    yield f"{name}_count", {}, len(values)


def of_text(page: str) -> Shown:
    """Return what a page in the text format shows."""
    return _of_families(parse_text(page))


def of_openmetrics(page: str) -> Shown:
    """Return what a page in OpenMetrics shows."""
    return _of_families(parse_openmetrics(page))  # type: ignore[no-untyped-call]  # of a peer


def _of_families(families: Iterable[Family]) -> Shown:
    return of_samples(
        ({**sample.labels, "__name__": sample.name}, sample.value)
        for family in families
        for sample in family.samples
    )


def of_samples(samples: Iterable[tuple[Mapping[str, str], float]]) -> Shown:
    """Return what samples show whose name is in `__name__`, as in Prometheus."""
    shown: Shown = {}
    for labels, value in samples:
        name = labels["__name__"]
        rest = {key: text for key, text in labels.items() if key not in {*OWN_LABELS, "__name__"}}
        if name in OWN_FAMILIES or _is_of_the_pipeline(rest):
            continue
        series = (name, _labels(rest))
        assert series not in shown, f"{series} twice"
        shown[series] = value
    return shown


def _is_of_the_pipeline(labels: Mapping[str, str]) -> bool:
    """Tell whether an exporter that is at work counts itself; it goes on between two looks."""
    return not labels.get("otel_component_name", MARK).startswith(MARK)


def _labels(attributes: Mapping[str, str | int | float | bool]) -> frozenset[tuple[str, str]]:
    """Return labels as one text each; a bound is a number, whatever its form."""
    return frozenset(
        (_label(key), repr(float(value)) if key == "le" else _text(value))
        for key, value in attributes.items()
    )


def _label(key: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in key)


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def differences(wanted: Shown, shown: Shown) -> list[str]:
    """Return in words what is missing, what is there beside it, and which value is another one."""
    return sorted(
        [
            *(f"missing: {_words(series)}" for series in wanted.keys() - shown.keys()),
            *(f"unexpected: {_words(series)}" for series in shown.keys() - wanted.keys()),
            *(
                f"{_words(series)}: {shown[series]!r}, not {wanted[series]!r}"
                for series in wanted.keys() & shown.keys()
                if shown[series] != wanted[series]
            ),
        ]
    )


def _words(series: Series) -> str:
    name, labels = series
    return f"{name}{dict(sorted(labels))}"

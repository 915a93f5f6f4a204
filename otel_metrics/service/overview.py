"""The newest values of a service as records: what each is now, or that it is absent. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from otel_metrics.catalog.model import Metric, Source
from otel_metrics.service.snapshots import Latest, moment

__all__ = ["NEVER", "OF_ONE", "STALE", "overview"]

STALE: Final = "stale"
"""Why a value is absent that was not renewed when it should have been."""
NEVER: Final = "never_sampled"
"""Why a value is absent that never was one."""
NO_VALUE: Final = "no_value"
"""Why a value is absent of which a source says that there is nothing to tell."""
OF_ONE: Final = frozenset({NO_VALUE, "not_a_number", NEVER})
"""Why one resource has no value; every other reason is of the whole source."""
INTERVALS_MAX: Final = 2.0
"""A value is stale after so many intervals, and the time that a source may take."""


def overview(
    metrics: Mapping[str, Metric], latest: Sequence[Latest], *, now: float
) -> list[dict[str, object]]:
    """Return a record for each metric that has a source and each of its resources.

    What is absent has no value, and `absent` says why; `observed_at` is then of the last value.
    """
    known: dict[str, list[Latest]] = {}
    for each in latest:
        known.setdefault(each.metric, []).append(each)
    return [
        record
        for name, metric in metrics.items()
        if metric.source is not None
        for record in _of_metric(metric, metric.source, known.get(name, ()), now)
    ]


def _of_metric(
    metric: Metric, source: Source, latest: Sequence[Latest], now: float
) -> Iterator[dict[str, object]]:
    about = {"metric_id": metric.name, "unit": source.unit_name or metric.unit}
    if not latest:
        nothing = {"value": None, "band": None, "observed_at": None, "age_seconds": None}
        yield {**about, "resource": None, **nothing, "absent": NEVER}
    answers = any(_absence(each, source, now) is None for each in latest)
    for each in latest:
        absent = _absence(each, source, now)
        if answers and each.observed_at is None and absent not in OF_ONE:
            continue  # missed before the first answer, when nobody knew whose the values would be
        observed_at = each.observed_at
        yield {
            **about,
            "resource": {"scope": each.resource.scope, "id": each.resource.id},
            "value": each.value if absent is None else None,
            "band": each.band if absent is None else None,
            "observed_at": None if observed_at is None else moment(observed_at),
            "age_seconds": None if observed_at is None else round(max(0.0, now - observed_at), 3),
            "absent": absent,
        }


def _absence(latest: Latest, source: Source, now: float) -> str | None:
    if latest.missing_since is not None and not _is_of_another(latest, source):
        return latest.missing_reason or NEVER
    if latest.observed_at is None:
        return NEVER
    holds_s = INTERVALS_MAX * source.interval_s + source.timeout_s
    return STALE if now - latest.observed_at > holds_s else None


def _is_of_another(latest: Latest, source: Source) -> bool:
    """Tell whether it is another process that has nothing to tell, such as a worker without
    requests: nobody is asked twice in half an interval."""
    if latest.missing_since is None or latest.observed_at is None:
        return False
    is_soon = 0 <= latest.missing_since - latest.observed_at < source.interval_s / 2
    return is_soon and latest.missing_reason == NO_VALUE

"""The newest values of a service as records: what each is now, or that it is absent. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from otel_metrics.catalog.model import Metric, Source
from otel_metrics.service.snapshots import Latest, moment

__all__ = ["NEVER", "STALE", "overview"]

STALE: Final = "stale"
"""Why a value is absent that was not renewed when it should have been."""
NEVER: Final = "never_sampled"
"""Why a value is absent that never was one."""
OWN: Final = frozenset({"no_value", "not_a_number"})
"""Why one resource has no value while its source answers."""
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
    absences = [_absence(each, source, now) for each in latest]
    is_answered = None in absences
    for each, absent in zip(latest, absences, strict=True):
        if is_answered and _stood_for_all(each):
            continue
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


def _stood_for_all(latest: Latest) -> bool:
    """Tell whether this is no resource: its source failed before it had named one."""
    is_failed = latest.missing_since is not None and latest.missing_reason not in OWN
    return is_failed and latest.observed_at is None


def _absence(latest: Latest, source: Source, now: float) -> str | None:
    if latest.missing_since is not None:
        return latest.missing_reason or NEVER
    if latest.observed_at is None:
        return NEVER
    holds_s = INTERVALS_MAX * source.interval_s + source.timeout_s
    return STALE if now - latest.observed_at > holds_s else None

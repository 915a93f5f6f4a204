"""Our own keys of a metric, under `annotations`: how it is exposed, kept, merged and judged.

Pure. The conventions' keys are in `reading.py`; bands and sources have files of their own.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from otel_metrics.catalog.bands import bands
from otel_metrics.catalog.fields import Fields, Report, finite, near
from otel_metrics.catalog.model import MERGES, SERIES_BUDGET, Metric, Playbooks
from otel_metrics.catalog.sources import RESOURCE_ID, source
from otel_metrics.yaml_source import Node

__all__ = ["annotations", "refined"]

KEYS: Final = (
    "prometheus",
    "value_type",
    "buckets",
    "merge",
    "series_budget",
    "ttl",
    "bands",
    "playbooks",
    "source",
    "observable",
)
BUCKETS_MAX: Final = 200
"""Bucket bounds of a histogram; each is a time series for every attribute set."""
SERIES_BUDGET_MAX: Final = 1_000_000
"""The largest budget that can be asked for."""
TTL_MAX_S: Final = 366 * 86_400.0
"""The longest time that a gauge's value can be kept without being set again."""

REFINED: Final = ("source", "bands", "playbooks")
"""What a deployment may say of a built-in metric: where its values come from, and what is good."""

Known = Mapping[str, object]
"""Playbooks that are defined."""


def annotations(
    node: Node,
    path: str,
    report: Report,
    *,
    instrument: str | None,
    attributes: Mapping[str, str],
    defined: Known,
) -> dict[str, Any]:
    """Return the fields of a `Metric` that the annotations say; what is wrong goes to `report`.

    Args:
        attributes: the keys that the metric refers to.
        defined: the playbooks that there are.
    """
    fields = Fields(node, path, report, known=KEYS)
    only = _Only(fields, instrument)
    only.allow("buckets", "histogram")
    only.allow("merge", "gauge", "updowncounter", "counter")
    only.allow("ttl", "gauge")
    only.allow("observable", "counter", "updowncounter", "gauge")
    only.allow("source", "gauge")
    observable = fields.flag("observable", default=instrument == "gauge")
    found = {
        "source": source(fields, report),
        "bands": bands(fields, report),
        "playbooks": _playbooks(fields, report, defined),
    }
    if instrument == "gauge" and not observable and fields.has("source"):
        fields.refuse("observable", "is false, and the source is asked", "remove it")
    judged = fields.has("bands") and fields.has("source")
    _refuse_apart(fields, attributes, judged=judged)
    return {
        "prometheus": fields.text("prometheus"),
        "value_type": fields.choice("value_type", ("int", "double")) or "double",
        "buckets": _buckets(fields, required=instrument == "histogram"),
        "merge": _merge(fields, counts=instrument == "counter"),
        "series_budget": _series_budget(fields),
        "ttl_s": _ttl_s(fields),
        "observable": observable,
        **found,
    }


def refined(
    node: Node, path: str, report: Report, *, metric: Metric, defined: Known
) -> dict[str, Any]:
    """Return the fields of `metric` that the annotations of a refinement say anew.

    Bands and playbooks replace those that there were; of a source, what is not said is kept.
    """
    fields = Fields(node, path, report, known=REFINED)
    if fields.has("source") and metric.source is None:
        message = f"{metric.name!r} has none: what it counts is recorded"
        fields.refuse("source", message, "remove it, or declare a metric of your own")
        return {}
    found = {
        "source": source(fields, report, before=metric.source),
        "bands": bands(fields, report),
        "playbooks": _playbooks(fields, report, defined),
    }
    judged = metric.source is not None and (metric.bands is not None or fields.has("bands"))
    _refuse_apart(fields, metric.levels, judged=judged)
    return {key: value for key, value in found.items() if value is not None}


def _refuse_apart(fields: Fields, attributes: Mapping[str, str], *, judged: bool) -> None:
    """Refuse what has no effect without something else.

    Args:
        judged: whether the metric is sampled, and its samples are in bands.
    """
    if fields.has("source") and RESOURCE_ID not in attributes:
        message = f"needs the attribute {RESOURCE_ID}, which says what a value is of"
        fields.refuse("source", message, f"add `- ref: {RESOURCE_ID}` under attributes")
    if fields.has("playbooks") and not judged:
        message = "without a source and bands nothing recommends them"
        fields.refuse("playbooks", message, "add what is missing, or remove them")


class _Only:
    """Keys that make sense for some instruments only."""

    def __init__(self, fields: Fields, instrument: str | None) -> None:
        self._fields = fields
        self._instrument = instrument

    def allow(self, key: str, *instruments: str) -> None:
        if self._instrument and self._instrument not in instruments and self._fields.has(key):
            kinds = " or ".join(instruments)
            message = f"is for a {kinds}, and this is a {self._instrument}"
            self._fields.refuse(key, message, "remove it")


def _merge(fields: Fields, *, counts: bool) -> str | None:
    chosen = fields.choice("merge", MERGES)
    if counts and chosen not in (None, "max"):
        message = f"is {chosen}, and what processes count is added"
        fields.refuse("merge", message, "remove it; max is for a total that every process reads")
        return None
    return chosen


def _buckets(fields: Fields, *, required: bool) -> tuple[float, ...]:
    items = fields.items("buckets")
    if not items:
        if required:
            remedy = "add annotations.buckets: the upper bounds in the metric's unit, ascending"
            fields.refuse("buckets", "a histogram without buckets", remedy)
        return ()
    bounds = [finite(item) for item in items]
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        fields.refuse("buckets", "a bound is no finite number", "leave +Inf out: it is implied")
    elif any(after <= before for before, after in pairwise(known)):
        fields.refuse("buckets", "the bounds do not ascend", "sort them, each once")
    elif len(known) > BUCKETS_MAX:
        fields.refuse("buckets", f"{len(known)} bounds", f"keep at most {BUCKETS_MAX}")
    return tuple(known)


def _series_budget(fields: Fields) -> int:
    node = fields.node("series_budget")
    if node is None:
        return SERIES_BUDGET
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= SERIES_BUDGET_MAX:
        accepted = f"write a whole number from 1 to {SERIES_BUDGET_MAX}"
        fields.refuse("series_budget", "is no number of attribute sets", accepted)
        return SERIES_BUDGET
    return value


def _ttl_s(fields: Fields) -> float | None:
    node = fields.node("ttl")
    if node is None:
        return None
    seconds = fields.seconds("ttl")
    if seconds is None or not 0 < seconds <= TTL_MAX_S:
        fields.refuse("ttl", "is no time", "write seconds or a unit, such as 300, 90s or 5m")
        return None
    return seconds


def _playbooks(fields: Fields, report: Report, defined: Known) -> Playbooks | None:
    node = fields.node("playbooks")
    if node is None:
        return None
    inner = Fields(node, fields.path("playbooks"), report, known=("warning", "critical"))
    return Playbooks(
        warning=_playbook(inner, "warning", defined), critical=_playbook(inner, "critical", defined)
    )


def _playbook(fields: Fields, band: str, defined: Known) -> str | None:
    name = fields.text(band)
    if name and name not in defined:
        remedy = near(name, defined, otherwise="define it under playbooks")
        fields.refuse(band, f"there is no playbook {name[:80]!r}", remedy)
    return name or None

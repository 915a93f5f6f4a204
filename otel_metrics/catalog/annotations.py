"""Our own keys of a metric, under `annotations`: how it is exposed, kept, merged and judged.

Pure. The conventions' keys are in `reading.py`.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from otel_metrics.catalog.fields import Fields, Report, finite
from otel_metrics.catalog.model import MERGES, SERIES_BUDGET, Band, Bands, Playbooks
from otel_metrics.yaml_source import Node

__all__ = ["annotations"]

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

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)")
_SECONDS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def annotations(node: Node, path: str, report: Report, *, instrument: str | None) -> dict[str, Any]:
    """Return the fields of a `Metric` that the annotations say; what is wrong goes to `report`."""
    fields = Fields(node, path, report, known=KEYS)
    only = _Only(fields, instrument)
    only.allow("buckets", "histogram")
    only.allow("merge", "gauge", "updowncounter", "counter")
    only.allow("ttl", "gauge")
    only.allow("observable", "counter", "updowncounter", "gauge")
    return {
        "prometheus": fields.text("prometheus"),
        "value_type": fields.choice("value_type", ("int", "double")) or "double",
        "buckets": _buckets(fields, required=instrument == "histogram"),
        "merge": _merge(fields, counts=instrument == "counter"),
        "series_budget": _series_budget(fields),
        "ttl_s": _ttl_s(fields),
        "bands": _bands(fields, report),
        "playbooks": _playbooks(fields, report),
        "observable": fields.flag("observable", default=instrument == "gauge"),
    }


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
    seconds = finite(node)
    if isinstance(node.value, str):
        match = _DURATION.fullmatch(node.value.strip())
        seconds = float(match[1]) * _SECONDS[match[2]] if match else None
    if seconds is None or not 0 < seconds <= TTL_MAX_S:
        fields.refuse("ttl", "is no time", "write seconds or a unit, such as 300, 90s or 5m")
        return None
    return seconds


def _bands(fields: Fields, report: Report) -> Bands | None:
    node = fields.node("bands")
    if node is None:
        return None
    inner = Fields(node, fields.path("bands"), report, known=("good", "warning", "critical"))
    good, warning, critical = (_band(inner, key, report) for key in ("good", "warning", "critical"))
    if good and good.lower is not None and good.upper is not None and good.lower > good.upper:
        inner.refuse("good", "lower is above upper", "swap them")
    for key, band in (("good", good), ("critical", critical)):
        if band is None and not inner.has(key):
            inner.refuse(key, "is missing", "give its lower or its upper bound")
    return Bands(good=good, warning=warning, critical=critical) if good and critical else None


def _band(fields: Fields, key: str, report: Report) -> Band | None:
    node = fields.node(key)
    if node is None:
        return None
    bounds = Fields(node, fields.path(key), report, known=("lower", "upper"))
    band = Band(lower=bounds.number("lower"), upper=bounds.number("upper"))
    if not bounds.has("lower") and not bounds.has("upper"):
        fields.refuse(key, "has no bound", "give its lower or its upper bound")
    return band


def _playbooks(fields: Fields, report: Report) -> Playbooks | None:
    node = fields.node("playbooks")
    if node is None:
        return None
    inner = Fields(node, fields.path("playbooks"), report, known=("warning", "critical"))
    return Playbooks(warning=inner.text("warning") or None, critical=inner.text("critical") or None)

"""What a catalog file says is good and what is critical of a metric.

Pure. What is neither is a warning. A range has its bounds included; a critical one whose `lower` is
above its `upper` has two sides: at or above `lower`, and at or below `upper`.
"""

import math
from itertools import combinations
from typing import Final

from otel_metrics.catalog.fields import Fields, Report
from otel_metrics.catalog.model import Band, Bands

__all__ = ["bands"]

NAMES: Final = ("good", "warning", "critical")
_BOUND: Final = "give its lower or its upper bound"

Interval = tuple[float, float]


def bands(fields: Fields, report: Report) -> Bands | None:
    """Return the bands that an entry's `bands` says, None where it has none that hold."""
    node = fields.node("bands")
    if node is None:
        return None
    inner = Fields(node, fields.path("bands"), report, known=NAMES)
    found = {name: _band(inner, name, report) for name in NAMES}
    _refuse_reversed(inner, found)
    for name in ("good", "critical"):
        if not inner.has(name):
            inner.refuse(name, "is missing", _BOUND)
    _refuse_crossing(inner, found)
    good, critical = found["good"], found["critical"]
    if good is None or critical is None:
        return None
    return Bands(good=good, warning=found["warning"], critical=critical)


def _band(fields: Fields, key: str, report: Report) -> Band | None:
    node = fields.node(key)
    if node is None:
        return None
    bounds = Fields(node, fields.path(key), report, known=("lower", "upper"))
    band = Band(lower=bounds.number("lower"), upper=bounds.number("upper"))
    if not bounds.has("lower") and not bounds.has("upper"):
        fields.refuse(key, "has no bound", _BOUND)
    return band if band.lower is not None or band.upper is not None else None


def _refuse_reversed(fields: Fields, found: dict[str, Band | None]) -> None:
    for name in ("good", "warning"):
        band = found[name]
        if band and len(_intervals(band)) > 1:
            fields.refuse(name, "lower is above upper", "swap them")
            found[name] = None


def _refuse_crossing(fields: Fields, found: dict[str, Band | None]) -> None:
    """Refuse two bands that share more than a bound; the one that both have is the better's."""
    known = [(name, band) for name, band in found.items() if band is not None]
    for (better, first), (worse, second) in combinations(known, 2):
        shared = _shared(first, second)
        if shared is not None:
            message = f"crosses {better}: both have the values {_said(shared)}"
            fields.refuse(worse, message, f"move a bound, so that {better} ends where it begins")


def _shared(first: Band, second: Band) -> Interval | None:
    for low, high in _intervals(first):
        for lower, upper in _intervals(second):
            begin, end = max(low, lower), min(high, upper)
            if begin < end:
                return begin, end
    return None


def _intervals(band: Band) -> tuple[Interval, ...]:
    lower = -math.inf if band.lower is None else band.lower
    upper = math.inf if band.upper is None else band.upper
    if lower <= upper:
        return ((lower, upper),)
    return (-math.inf, upper), (lower, math.inf)


def _said(interval: Interval) -> str:
    low, high = interval
    if math.isinf(low):
        return "of all numbers" if math.isinf(high) else f"up to {high:g}"
    return f"from {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"

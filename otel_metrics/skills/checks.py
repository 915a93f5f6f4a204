"""One figure against its threshold: met or not, and what is missing. Exact in decimal digits.

What cannot be computed is not met, and says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

from otel_metrics.skills.readings import Readings

__all__ = ["Check", "at_least", "exact", "mean", "median", "ratio", "shown", "unknown"]

_EXACT: Final = Context(prec=100, traps=[])
"""Sums are exact, whatever precision and traps the service set for its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A gate, or a trigger of a rollback.

    Attributes:
        name: what it is called in records and by machines.
        about: what its figure is.
        figure: None where it cannot be computed.
        threshold: what is asked of the figure.
        met: whether that is so. Of a trigger: whether it fires.
        missing: what is missing until it is met, or why it cannot be computed. Of a trigger: why.
    """

    name: str
    about: str
    figure: int | float | None
    threshold: str
    met: bool
    missing: str = ""


def unknown(name: str, about: str, threshold: str, why: str) -> Check:
    """Return a check that cannot be computed, and so is not met."""
    return Check(name=name, about=about, figure=None, threshold=threshold, met=False, missing=why)


def at_least(name: str, about: str, figure: Decimal, least: float) -> Check:
    """Return the check of a figure that must reach a threshold."""
    short = _EXACT.subtract(exact(least), figure)
    return Check(
        name=name,
        about=about,
        figure=float(figure),
        threshold=f">= {least}",
        met=short <= 0,
        missing=f"short by {float(short):.3g}" if short > 0 else "",
    )


def exact(number: float) -> Decimal:
    """Return a number by its decimal digits: 0.1 is a tenth."""
    return Decimal(repr(number))


def mean(readings: Readings) -> Decimal:
    """Return the mean of one reading or more."""
    total = Decimal(0)
    for reading in readings.kept:
        total = _EXACT.add(total, reading.value)
    return _EXACT.divide(total, Decimal(len(readings)))


def median(readings: Readings) -> Decimal:
    """Return the value in the middle of one reading or more, of an even number the mean of two."""
    values: Sequence[Decimal] = sorted(reading.value for reading in readings.kept)
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return _EXACT.divide(_EXACT.add(low, high), Decimal(2))


def ratio(figure: Decimal, base: Decimal) -> float | None:
    """Return a figure as a multiple of another; None of nothing."""
    return float(_EXACT.divide(figure, base)) if base else None


def shown(figure: float | None, threshold: str) -> str:
    """Return a figure for people, in as many digits as show on which side of the threshold it is.

    >>> shown(0.89999, ">= 0.9"), shown(0.91234567, ">= 0.9")
    ('0.89999', '0.9123')
    """
    if figure is None:
        return ""
    text = f"{figure:.4g}" if isinstance(figure, float) else f"{figure}"
    limit = float(threshold.split()[1])
    same = (float(text) < limit) == (figure < limit) and (float(text) > limit) == (figure > limit)
    return text if same else repr(figure)

"""A figure in the unit of the metric that shows it. Pure."""

from collections.abc import Mapping
from typing import Final

__all__ = ["duration_in", "share_in"]

_PER_SECOND: Final[Mapping[str, float]] = {"s": 1.0, "ms": 1e3, "us": 1e6, "min": 1 / 60}


def share_in(unit: str, share: float) -> float:
    """Return a share of one, in per cent where the unit says so."""
    return share * 100 if unit == "%" else share


def duration_in(unit: str, seconds: float) -> float:
    """Return a duration in a unit of time; in seconds where it is none that is known."""
    return seconds * _PER_SECOND.get(unit, 1.0)

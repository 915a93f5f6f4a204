"""Whether two figures rise together: Pearson's and Spearman's correlation, and the line between.

Pure. Where a correlation means nothing there is no figure, but the reason why.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import Final

from otel_metrics.plurals import counted

__all__ = ["PAIRS_MIN", "Correlation", "Line", "fit", "pearson", "spearman"]

PAIRS_MIN: Final = 4
"""Fisher's z has a standard error of 1 ÷ √(n - 3): with fewer pairs there is none."""
CONFIDENCE: Final = 0.95
Z: Final = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A correlation coefficient, -1 to 1, with the ends of its 95 % confidence interval.

    Attributes:
        value, low, high: all of them, or None.
        reason: why there is none.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The line y = intercept + slope · x."""

    slope: float
    intercept: float


def pearson(pairs: Pairs, *, x: str = "x", y: str = "y") -> Correlation:
    """Return how well a straight line fits the pairs.

    The interval is that of Fisher's z, with a standard error of 1 ÷ √(n - 3) (R. A. Fisher, 1921).

    Args:
        pairs: finite numbers.
        x, y: what they are, for the reason.
    """
    return _judged(pairs, x, y, lambda _: 1.0)


def spearman(pairs: Pairs, *, x: str = "x", y: str = "y") -> Correlation:
    """Return how well any rising or falling curve fits the pairs: Pearson's, of their ranks.

    Equal values share the mean of their ranks. The interval is that of Fisher's z, with a standard
    error of √((1 + r² ÷ 2) ÷ (n - 3)) (D. G. Bonett and T. A. Wright, 2000).

    Args:
        pairs, x, y: as `pearson`.
    """
    ranked = list(zip(*(_ranks([pair[axis] for pair in pairs]) for axis in (0, 1)), strict=True))
    return _judged(ranked, x, y, lambda r: math.sqrt(1 + r * r / 2))


def fit(pairs: Pairs) -> Line | None:
    """Return the line with the least squares of y, None where all x are the same."""
    (xs, x_unit, x_mean), (ys, y_unit, y_mean) = (_spread(pairs, axis) for axis in (0, 1))
    if x_unit == 0:
        return None
    products = math.fsum(x * y for x, y in zip(xs, ys, strict=True))
    slope = products / math.fsum(x * x for x in xs) * y_unit / x_unit
    return Line(slope=slope, intercept=y_mean - slope * x_mean)


def _judged(pairs: Pairs, x: str, y: str, widening: Callable[[float], float]) -> Correlation:
    count = len(pairs)
    if count < PAIRS_MIN:
        few = f"{counted(count, 'pair')} {'is' if count == 1 else 'are'} too few"
        return Correlation(reason=f"{few}, it takes {PAIRS_MIN}")
    (xs, x_unit, _), (ys, y_unit, _) = (_spread(pairs, axis) for axis in (0, 1))
    for name, unit in ((x, x_unit), (y, y_unit)):
        if unit == 0:
            return Correlation(reason=f"{name} is the same in all {count} pairs")
    products = math.fsum(a * b for a, b in zip(xs, ys, strict=True))
    squares = math.sqrt(math.fsum(a * a for a in xs)) * math.sqrt(math.fsum(b * b for b in ys))
    value = max(-1.0, min(1.0, products / squares))
    if abs(value) == 1.0:
        return Correlation(value=value, low=value, high=value)  # z is infinite
    reach = Z * widening(value) / math.sqrt(count - 3)
    low, high = (math.tanh(math.atanh(value) + sign * reach) for sign in (-1, 1))
    return Correlation(value=value, low=low, high=high)


def _spread(pairs: Pairs, axis: int) -> tuple[list[float], float, float]:
    """Return the distances from the mean in a unit in which none is over 1, the unit, and the mean.

    In that unit no square is infinite, nor all of them 0. Distances are halved, so that the one
    between the largest and the smallest float is none of infinity. The unit is 0 where there is no
    distance.
    """
    values = [float(pair[axis]) for pair in pairs]
    mean = math.fsum(value / len(values) for value in values)
    halves = [value / 2 - mean / 2 for value in values]
    unit = max(map(abs, halves), default=0.0)
    if unit == 0 or min(values) == max(values):  # the mean of equal values may be another, rounded
        return [0.0 for _ in values], 0.0, mean
    return [half / unit for half in halves], unit, mean


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the place of each value among all, from 1."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    place = 1
    for _, group in groupby(order, key=values.__getitem__):
        equal = list(group)
        for index in equal:
            ranks[index] = place + (len(equal) - 1) / 2
        place += len(equal)
    return ranks

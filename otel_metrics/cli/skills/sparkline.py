"""A line of blocks that shows how a value went over time. Pure."""

from collections.abc import Sequence
from typing import Final

__all__ = ["WIDTH", "sparkline"]

WIDTH: Final = 40
"""Blocks of a line; each stands for the same span of time."""

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def sparkline(points: Sequence[tuple[float, float]], *, width: int = WIDTH) -> str:
    """Return a block for the mean of each span of time, a space where there is none.

    The lowest mean has the lowest block, the highest the highest; where all are one, it is in the
    middle.

    Args:
        points: time and value, the oldest first.

    >>> sparkline([(0, 0.5), (1, 0.75), (2, 1.0)], width=3)
    '▁▅█'
    """
    if not points:
        return ""
    first, last = points[0][0], points[-1][0]
    span = (last - first) / width
    sums: dict[int, tuple[float, int]] = {}
    for time, value in points:
        at = min(int((time - first) / span), width - 1) if span > 0 else 0
        total, count = sums.get(at, (0.0, 0))
        sums[at] = (total + value, count + 1)
    means = {at: total / count for at, (total, count) in sums.items()}
    low, high = min(means.values()), max(means.values())
    return "".join(
        _block(means[at], low, high) if at in means else " " for at in range(max(means) + 1)
    )


def _block(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 0.5
    return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]

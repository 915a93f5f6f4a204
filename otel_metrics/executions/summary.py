"""What a file of runs comes to: figures and trends. Pure; exact, in whatever parts it is read.

Sums are whole numbers of the smallest float, so that a mean is the same whether the file was read
at once or a line at a time, and is the float nearest to the true mean.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from otel_metrics.executions.records import Facts

__all__ = ["STABLE_BELOW", "WINDOW", "Tally", "Trend", "trend"]

Trend = Literal["up", "down", "stable", "unknown"]

WINDOW: Final = 10
"""A trend compares so many of the last runs with as many before them."""
STABLE_BELOW: Final = 0.05
"""A smaller difference is none."""
_DIGITS: Final = 9
"""Decimals to which a difference is taken: 0.85 - 0.8 is 0.05, and not a little less."""
_UNIT_BITS: Final = 1074
"""The smallest float is two to the power of minus this."""


@dataclass(slots=True)
class Mean:
    """An exact mean that grows."""

    count: int = 0
    total: int = 0

    def add(self, value: float) -> None:
        """Take one value in."""
        above, below = value.as_integer_ratio()
        self.total += above << (_UNIT_BITS + 1 - below.bit_length())
        self.count += 1

    @property
    def value(self) -> float | None:
        """The mean; None of nothing."""
        return self.total / (self.count << _UNIT_BITS) if self.count else None


@dataclass(slots=True)
class Tally:
    """What the records of a file come to, one after the other.

    Attributes:
        skipped: lines that are no records.
        last: the timestamp of the last record that has one.
        recent: success and quality of the runs that trends look at, the newest last.
    """

    count: int = 0
    successes: int = 0
    skipped: int = 0
    last: str | None = None
    quality: Mean = field(default_factory=Mean)
    time: Mean = field(default_factory=Mean)
    recent: list[tuple[bool, float | None]] = field(default_factory=list)

    def add(self, facts: Facts | None) -> None:
        """Take a line in; None is one that is no record."""
        if facts is None:
            self.skipped += 1
            return
        self.count += 1
        self.successes += facts.success
        self.last = facts.timestamp or self.last
        if facts.quality_score is not None:
            self.quality.add(facts.quality_score)
        if facts.execution_time_s is not None:
            self.time.add(facts.execution_time_s)
        self.recent.append((facts.success, facts.quality_score))
        del self.recent[: -2 * WINDOW]

    def summary(self) -> dict[str, Any]:
        """Return what `summary.json` holds, in its order; a mean of nothing is None."""
        return {
            "execution_count": self.count,
            "success_rate": self.successes / self.count if self.count else None,
            "avg_quality_score": self.quality.value,
            "avg_execution_time_s": self.time.value,
            "last_execution": self.last,
            "trend": {
                "success_rate": trend([float(success) for success, _ in self.recent]),
                "quality_score": trend([quality for _, quality in self.recent]),
            },
        }

    def dump(self) -> str:
        """Return all of it as text, for `load`."""
        quality, time = self.quality, self.time
        return json.dumps(
            {
                "count": self.count,
                "successes": self.successes,
                "skipped": self.skipped,
                "last": self.last,
                "quality": [quality.count, hex(quality.total)],
                "time": [time.count, hex(time.total)],
                "recent": self.recent,
            }
        )

    @classmethod
    def load(cls, text: str) -> "Tally":
        """Return the tally that `dump` wrote."""
        kept = json.loads(text)
        return cls(
            count=kept["count"],
            successes=kept["successes"],
            skipped=kept["skipped"],
            last=kept["last"],
            quality=Mean(kept["quality"][0], int(kept["quality"][1], 16)),
            time=Mean(kept["time"][0], int(kept["time"][1], 16)),
            recent=[(success, quality) for success, quality in kept["recent"]],
        )


def trend(runs: Sequence[float | None]) -> Trend:
    """Return where a figure goes: the mean of the last `WINDOW` runs against that of those before.

    Args:
        runs: the figure of each run, the newest last; None where a run has none, which is left out.

    >>> trend([0.5] * 10 + [0.9] * 10)
    'up'
    """
    recent = _mean(runs[-WINDOW:])
    prior = _mean(runs[-2 * WINDOW : -WINDOW])
    if recent is None:
        return "unknown"
    difference = 0.0 if prior is None else round(recent - prior, _DIGITS)
    if abs(difference) < STABLE_BELOW:
        return "stable"
    return "up" if difference > 0 else "down"


def _mean(figures: Iterable[float | None]) -> float | None:
    mean = Mean()
    for figure in figures:
        if figure is not None:
            mean.add(figure)
    return mean.value

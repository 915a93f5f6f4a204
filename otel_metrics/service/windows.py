"""What a window of samples says: figures, bands, and what is missing. Pure.

Windows are aligned to multiples of their length since 1970 in UTC, so that every process and every
life of a service means the same window.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from otel_metrics.catalog.model import Aggregation
from otel_metrics.service.samples import BandName, Resource

__all__ = [
    "VALUE_MAX",
    "Entry",
    "Figures",
    "Kind",
    "Observation",
    "Window",
    "as_late",
    "expected_in",
    "expected_of",
    "figures_of",
    "is_figure",
    "window_of",
]

Kind = Literal["sample", "missing", "not_a_number", "late"]
"""What an entry of a window is: a value, or why there is none."""
VALUE_MAX: Final = 1e300
"""A larger value is no figure: sums of a window would not be finite."""
TIME_S_MAX: Final = 253_000_000_000
"""The latest time that is shown with four digits of the year, with room for a window."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `start`, included, to `end`, in Unix seconds."""

    start: int
    end: int


class Entry(NamedTuple):
    """One thing that counts in a window. A late sample counts where it came, without its value.

    Attributes:
        sampler: tells the process that sampled from others of the service.
    """

    at: float
    kind: Kind
    value: float | None = None
    band: BandName | None = None
    sampler: str = ""


class Observation(NamedTuple):
    """An entry, and of what it is; of a missing sample with the reason.

    Attributes:
        hides_others: whether newest values of the metric's other resources hold no longer, since
            the source does not answer and this process never heard of whom they are.
    """

    metric: str
    resource: Resource
    entry: Entry
    reason: str | None = None
    hides_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a window's entries come to.

    Attributes:
        value: what stands for the window, by the metric's aggregation; like the others None where
            no sample has a value.
        p95: the sorted value at index ⌊0.95·n⌋.
        expected_samples: as many as the processes that sampled take in such a window.
        missing_samples: asked for in vain, or not asked for at all. One fewer than expected is a
            matter of when the window began, and none is missing.
        late_samples: came in this window, for one that was closed already.
    """

    value: float | None = None
    min: float | None = None
    max: float | None = None
    avg: float | None = None
    p95: float | None = None
    sample_count: int = 0
    good_samples: int = 0
    warning_samples: int = 0
    critical_samples: int = 0
    latest_band: BandName | None = None
    expected_samples: int = 0
    missing_samples: int = 0
    late_samples: int = 0
    not_a_number_samples: int = 0


def is_figure(value: float, at: float) -> bool:
    """Tell whether a window can hold such a value of such a time."""
    return abs(value) <= VALUE_MAX and 0 <= at <= TIME_S_MAX  # a NaN compares with nothing


def window_of(at: float, length_s: int) -> Window:
    """Return the window of a time, in Unix seconds."""
    start = math.floor(at) // length_s * length_s
    return Window(start, start + length_s)


def as_late(seen: Observation, at: float) -> Observation:
    """Return what counts, in the window of that time, for a sample whose own one is closed."""
    return seen._replace(entry=Entry(at, "late", sampler=seen.entry.sampler))


def expected_in(length_s: int, interval_s: float) -> int:
    """Return how many samples one sampler takes in a window; 0 where its interval is longer."""
    return int(length_s // interval_s)


def expected_of(entries: Sequence[Entry], length_s: int, interval_s: float) -> int:
    """Return how many samples a window should have, given what counts in it in the order of time.

    Each process that asks by itself is expected to from its first entry to its last one, so that
    workers come and go within a window, and what one hands on to the next is not expected twice.
    Together they are expected to take no fewer than one that was there all the time.
    """
    one = expected_in(length_s, interval_s)
    times: dict[str, list[float]] = {}
    for entry in entries:
        if entry.kind != "late":
            times.setdefault(entry.sampler, []).append(entry.at)
    if not one:
        return 0
    return max(one, sum(round((at[-1] - at[0]) / interval_s) + 1 for at in times.values()))


def figures_of(entries: Sequence[Entry], *, aggregation: Aggregation, expected: int) -> Figures:
    """Return what entries, in the order of time, come to."""
    kinds = Counter(entry.kind for entry in entries)
    samples = [entry for entry in entries if entry.kind == "sample" and entry.value is not None]
    bands = Counter(entry.band for entry in samples)
    unasked = expected - len(samples) - kinds["not_a_number"] - 1
    of_values = _of_values([entry.value for entry in samples if entry.value is not None])
    return Figures(
        **of_values,
        value=_standing(of_values, aggregation, len(samples)),
        sample_count=len(samples),
        good_samples=bands["good"],
        warning_samples=bands["warning"],
        critical_samples=bands["critical"],
        latest_band=samples[-1].band if samples else None,
        expected_samples=expected,
        missing_samples=max(kinds["missing"], unasked),
        late_samples=kinds["late"],
        not_a_number_samples=kinds["not_a_number"],
    )


def _of_values(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    count = len(ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "avg": math.fsum(ordered) / count,
        "p95": ordered[min(count * 95 // 100, count - 1)],
    }


def _standing(of_values: dict[str, float], aggregation: Aggregation, count: int) -> float | None:
    if aggregation == "sum":
        return of_values["avg"] * count if of_values else None
    return of_values.get(aggregation)

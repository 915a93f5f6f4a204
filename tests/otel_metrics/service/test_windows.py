"""Windows: which one a time is in, and what its entries come to."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.catalog.model import Aggregation
from otel_metrics.service.samples import BandName
from otel_metrics.service.windows import (
    VALUE_MAX,
    Entry,
    Figures,
    Window,
    expected_in,
    expected_of,
    figures_of,
    is_figure,
    window_of,
)

TIMES = st.floats(0, 253_000_000_000, allow_nan=False)
VALUES = st.floats(-VALUE_MAX, VALUE_MAX, allow_nan=False)
BANDS: list[BandName | None] = ["good", "warning", "critical", None]


def entries(*values: float, band: BandName | None = None) -> list[Entry]:
    """Return samples, one a second."""
    return [Entry(float(at), "sample", value, band) for at, value in enumerate(values)]


@given(at=TIMES, length_s=st.integers(1, 86_400))
def test_every_time_is_in_one_aligned_window(at: float, length_s: int) -> None:
    """The start is in it, the end is in the next, and both are multiples of the length."""
    window = window_of(at, length_s)

    assert window.start <= at < window.end
    assert (window.start % length_s, window.end - window.start) == (0, length_s)
    assert window_of(window.start, length_s) == window
    assert window_of(window.end, length_s) == Window(window.end, window.end + length_s)


@given(st.lists(VALUES, min_size=1, max_size=200))
def test_the_figures_are_those_of_the_values(values: list[float]) -> None:
    """In whatever order they came; p95 is the value at index ⌊0.95·n⌋ of the sorted ones."""
    figures = figures_of(entries(*values), aggregation="avg", expected=0)
    ordered = sorted(values)
    index = min(math.floor(0.95 * len(values) + 1e-9), len(values) - 1)

    assert (figures.min, figures.max, figures.p95) == (ordered[0], ordered[-1], ordered[index])
    assert figures.sample_count == len(values)
    assert figures.avg == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-300)
    assert figures.value == figures.avg


@pytest.mark.parametrize(
    ("count", "p95"), [(1, 0), (2, 1), (19, 18), (20, 19), (21, 19), (40, 38), (100, 95)]
)
def test_p95_is_a_value_that_was_seen(count: int, p95: int) -> None:
    """Never one between two, and never beyond the last."""
    values = [float(value) for value in range(count)]

    assert figures_of(entries(*values), aggregation="p95", expected=0).value == p95


@pytest.mark.parametrize(
    ("aggregation", "value"), [("avg", 3.0), ("max", 6.0), ("min", 1.0), ("sum", 9.0), ("p95", 6.0)]
)
def test_the_aggregation_says_what_stands_for_the_window(
    aggregation: Aggregation, value: float
) -> None:
    """Beside all the others, which are there whatever it is."""
    assert figures_of(entries(6.0, 1.0, 2.0), aggregation=aggregation, expected=0).value == value


@given(st.lists(st.sampled_from(BANDS), min_size=1))
def test_samples_count_by_band(bands: list[BandName | None]) -> None:
    """One of a metric without bands counts in none; the latest band is that of the last."""
    seen = [Entry(float(at), "sample", 1.0, band) for at, band in enumerate(bands)]
    figures = figures_of(seen, aggregation="avg", expected=0)

    assert figures.good_samples == bands.count("good")
    assert figures.warning_samples == bands.count("warning")
    assert figures.critical_samples == bands.count("critical")
    assert figures.latest_band == bands[-1]


def test_what_is_no_value_counts_as_what_it_is() -> None:
    """And in no figure."""
    seen = [
        Entry(1.0, "sample", 5.0, "good"),
        Entry(2.0, "missing"),
        Entry(3.0, "not_a_number"),
        Entry(4.0, "not_a_number"),
        Entry(5.0, "late"),
    ]

    assert figures_of(seen, aggregation="max", expected=4) == Figures(
        value=5.0,
        min=5.0,
        max=5.0,
        avg=5.0,
        p95=5.0,
        sample_count=1,
        good_samples=1,
        latest_band="good",
        expected_samples=4,
        missing_samples=1,
        late_samples=1,
        not_a_number_samples=2,
    )


def test_a_window_without_values_has_no_figures() -> None:
    """Absent is not zero."""
    figures = figures_of([Entry(1.0, "missing")], aggregation="sum", expected=10)

    assert figures == Figures(expected_samples=10, missing_samples=9)


@pytest.mark.parametrize(("taken", "missing"), [(10, 0), (9, 0), (8, 1), (5, 4), (11, 0)])
def test_samples_that_nobody_took_are_missing(taken: int, missing: int) -> None:
    """One fewer is a matter of when the window began."""
    figures = figures_of(entries(*[1.0] * taken), aggregation="avg", expected=10)

    assert figures.missing_samples == missing


@pytest.mark.parametrize(
    ("length_s", "interval_s", "samples"),
    [(300, 30.0, 10), (300, 300.0, 1), (300, 600.0, 0), (60, 0.5, 120), (300, math.inf, 0)],
)
def test_how_many_samples_a_window_has(length_s: int, interval_s: float, samples: int) -> None:
    """A window that is shorter than the interval need not have one."""
    assert expected_in(length_s, interval_s) == samples


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], 10),  # nobody was there
        ([(0, 270)], 10),
        ([(0, 270), (15, 285)], 20),  # two all the time
        ([(0, 120), (125, 275)], 11),  # one after the other, which began at once
        ([(0, 270), (15, 15)], 11),  # one that ended soon
        ([(0, 60)], 10),  # nobody was there for the rest
        ([(0, 0), (60, 60)], 10),
        ([(2, 271.7), (17, 287.4)], 20),  # answers take their time
    ],
)
def test_each_process_is_expected_to_sample_while_it_does(
    spans: list[tuple[float, float]], expected: int
) -> None:
    """From its first sample to its last one, but never fewer than one process would all the time;
    a late sample tells nothing of when its process was there."""
    seen = [
        Entry(at, "sample", 1.0, sampler=str(number))
        for number, span in enumerate(spans)
        for at in span
    ]
    seen.append(Entry(299.0, "late", sampler="0"))

    assert expected_of(seen, 300, 30.0) == expected
    assert expected_of(seen, 300, 600.0) == 0


@pytest.mark.parametrize(
    ("value", "at", "expected"),
    [
        (1.0, 1_800_000_000.0, True),
        (-1.0, 0.0, True),
        (math.nan, 1.0, False),
        (math.inf, 1.0, False),
        (-math.inf, 1.0, False),
        (1e301, 1.0, False),
        (1.0, -1.0, False),
        (1.0, math.nan, False),
        (1.0, 1e12, False),
    ],
)
def test_what_no_window_can_hold_is_no_figure(value: float, at: float, expected: bool) -> None:
    """Neither a value without bounds nor a time without a year of four digits."""
    assert is_figure(value, at) is expected

"""Figures and trends: every boundary, and exact in whatever parts a file is read."""

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.executions.records import Facts
from otel_metrics.executions.summary import Tally, trend

FACTS = st.builds(
    Facts,
    success=st.booleans(),
    timestamp=st.none() | st.just("2026-01-31T08:00:00Z"),
    execution_time_s=st.none() | st.floats(0, 1e300),
    quality_score=st.none() | st.floats(0, 1),
)


def tally(*facts: Facts | None) -> Tally:
    counted = Tally()
    for each in facts:
        counted.add(each)
    return counted


def test_an_empty_file_has_no_means() -> None:
    """None is known, rather than zero."""
    assert tally().summary() == {
        "execution_count": 0,
        "success_rate": None,
        "avg_quality_score": None,
        "avg_execution_time_s": None,
        "last_execution": None,
        "trend": {"success_rate": "unknown", "quality_score": "unknown"},
    }


def test_means_leave_out_what_is_not_known() -> None:
    """A run without quality or time has no part in their mean, and counts for success."""
    summary = tally(
        Facts(success=True, timestamp="a", quality_score=0.9, execution_time_s=10.0),
        Facts(success=False, timestamp="b"),
        Facts(success=True, quality_score=0.8),
        None,
    ).summary()

    assert summary == {
        "execution_count": 3,
        "success_rate": 2 / 3,
        "avg_quality_score": (0.9 + 0.8) / 2,
        "avg_execution_time_s": 10.0,
        "last_execution": "b",
        "trend": {"success_rate": "stable", "quality_score": "stable"},
    }


@pytest.mark.parametrize(
    ("prior", "recent", "expected"),
    [
        ([0.5] * 10, [0.55] * 10, "up"),
        ([0.5] * 10, [0.549999] * 10, "stable"),
        ([0.5] * 10, [0.45] * 10, "down"),
        ([0.5] * 10, [0.450001] * 10, "stable"),
        ([0.8] * 10, [0.85] * 10, "up"),
        ([0.85] * 10, [0.8] * 10, "down"),
        ([0.5] * 10, [0.5] * 10, "stable"),
        ([], [0.9] * 10, "stable"),
        ([], [0.9], "stable"),
        ([], [], "unknown"),
        ([0.5], [0.9] * 10, "up"),
        ([None] * 10, [0.9] * 10, "stable"),
        ([0.9] * 10, [None] * 10, "unknown"),
        ([0.1, *[None] * 9], [*[None] * 9, 0.9], "up"),
        ([0.0] * 5 + [0.5] * 10, [0.5] * 10, "stable"),
    ],
)
def test_a_trend_compares_the_last_ten_with_the_ten_before(
    prior: list[float | None], recent: list[float | None], expected: str
) -> None:
    """A difference below 0.05 is stable; nothing before is stable, nothing recent unknown."""
    assert trend([*prior, *recent]) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([True] * 10, "stable"),
        ([False] + [True] * 10, "up"),
        ([True] + [False] * 10, "down"),
        ([False] * 10 + [True] * 10, "up"),
        ([True] * 10 + [False] + [True] * 9, "down"),
    ],
)
def test_the_trend_of_success_is_that_of_its_rate(runs: list[bool], expected: str) -> None:
    """Over the last twenty runs."""
    summary = tally(*(Facts(success=success) for success in runs)).summary()

    assert summary["trend"]["success_rate"] == expected


@given(st.lists(st.none() | FACTS, max_size=60), st.integers(0, 60))
def test_a_tally_that_was_written_down_goes_on_as_it_was(
    facts: list[Facts | None], at: int
) -> None:
    """However a file is cut into parts, its summary is the same to the last digit."""
    begun = Tally.load(tally(*facts[:at]).dump())
    for each in facts[at:]:
        begun.add(each)

    assert begun == tally(*facts)
    assert begun.summary() == tally(*facts).summary()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_a_mean_is_the_float_nearest_to_the_true_one(qualities: list[float]) -> None:
    """No error adds up over many runs."""
    summary = tally(*(Facts(success=True, quality_score=each) for each in qualities)).summary()
    exact = statistics.mean(map(Fraction, qualities))

    assert summary["avg_quality_score"] == float(exact)


@given(st.lists(st.integers(0, 100).map(lambda each: each / 100) | st.none(), max_size=40))
def test_a_trend_and_its_mirror_agree(figures: list[float | None]) -> None:
    """Where a figure rises, its counterpart falls."""
    mirrored = {"up": "down", "down": "up"}
    other = trend([None if each is None else 1 - each for each in figures])

    assert other == mirrored.get(trend(figures), trend(figures))

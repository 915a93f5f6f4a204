"""Correlations, their intervals and the line: against figures that were computed otherwise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.efficiency.correlation import Correlation, Line, fit, pearson, spearman

FIVE = [(1, 0.1), (2, 0.3), (3, 0.2), (4, 0.5), (5, 0.4)]
"""By hand: the products come to 0.8, the squares to 10 and 0.1, so r is 0.8; so it is of ranks."""

finite = st.floats(allow_nan=False, allow_infinity=False)
usual = st.floats(-1e6, 1e6, allow_subnormal=False)


def test_pearson_of_five_pairs() -> None:
    """z is artanh 0.8 = 1.0986123, less and more 1.9599640 ÷ √2 = 1.3859038."""
    found = pearson(FIVE)

    assert found.value == pytest.approx(0.8)
    assert found.low == pytest.approx(math.tanh(1.0986123 - 1.3859038), abs=1e-6)
    assert found.high == pytest.approx(math.tanh(1.0986123 + 1.3859038), abs=1e-6)


def test_spearman_of_five_pairs() -> None:
    """The interval is wider by √(1 + 0.32) = 1.1489125."""
    found = spearman(FIVE)

    assert found.value == pytest.approx(0.8)
    assert found.low == pytest.approx(math.tanh(1.0986123 - 1.1489125 * 1.3859038), abs=1e-6)
    assert found.high == pytest.approx(math.tanh(1.0986123 + 1.1489125 * 1.3859038), abs=1e-6)


def test_the_line_of_five_pairs() -> None:
    """It goes through the mean."""
    line = fit(FIVE)

    assert line is not None
    assert [line.slope, line.intercept] == pytest.approx([0.08, 0.06])


def test_equal_values_share_their_rank() -> None:
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: products 4.5, squares 4.5 and 5."""
    found = spearman([(1, 10), (7, 20), (7, 30), (9, 40)])

    assert found.value == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_a_curve_is_perfect_to_spearman_alone() -> None:
    """It asks for the order, not for a line."""
    cubes = [(n, n**3) for n in range(-3, 4)]

    assert spearman(cubes) == Correlation(value=1.0, low=1.0, high=1.0)
    assert pearson(cubes).value == pytest.approx(196 / math.sqrt(28 * 1588))


@given(st.lists(st.tuples(usual, usual), min_size=4, max_size=60))
def test_the_same_as_another_library_finds(pairs: list[tuple[float, float]]) -> None:
    """Pearson's, and the line, wherever that library has no trouble of its own."""
    x, y = np.array(pairs).T
    if min(np.ptp(x), np.ptp(y)) < 1e-3:
        return
    slope, intercept = np.polyfit(x, y, 1)
    line = fit(pairs)

    assert pearson(pairs).value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert line is not None
    assert [line.intercept + line.slope * each for each in x] == pytest.approx(
        list(intercept + slope * x), rel=1e-4, abs=1e-4
    )


@given(st.lists(st.tuples(finite, finite), max_size=30))
def test_a_figure_lies_in_its_interval(pairs: list[tuple[float, float]]) -> None:
    """However large or small the numbers are; or there is a reason and no figure."""
    for found in (pearson(pairs), spearman(pairs)):
        if found.value is None or found.low is None or found.high is None:
            assert found == Correlation(reason=found.reason) and found.reason
        else:
            assert -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([], "0 pairs are too few, it takes 4"),
        (FIVE[:3], "3 pairs are too few, it takes 4"),
        ([(2, y) for y in range(5)], "the priority is the same in all 5 pairs"),
        ([(x, 0.1) for x in range(5)], "the change is the same in all 5 pairs"),
    ],
)
def test_what_means_nothing_has_no_figure(pairs: list[tuple[float, float]], reason: str) -> None:
    """But the reason why."""
    for correlate in (pearson, spearman):
        assert correlate(pairs, x="the priority", y="the change") == Correlation(reason=reason)


@pytest.mark.parametrize("pairs", [[], [(1, 2)], [(2, 1), (2, 5)]])
def test_points_above_each_other_have_no_line(pairs: list[tuple[float, float]]) -> None:
    """Nor has one alone."""
    assert fit(pairs) is None


def test_two_points_have_a_line() -> None:
    """Though no correlation."""
    assert fit([(0, 1), (2, 5)]) == Line(slope=2.0, intercept=1.0)

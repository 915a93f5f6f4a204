"""E, P, D and H: the figures that are fixed, and what holds for every state."""

import doctest
import math
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from otel_metrics.efficiency import (
    compute_denominator,
    compute_efficiency,
    compute_entropy,
    compute_numerator,
    formula,
)

FIELDS = (
    *("tick", "gaps", "misfits", "false_pieces", "decay", "risk", "backtracks", "entropy", "phi"),
    *("total_issues", "closed_issues", "passing_tests", "total_tests", "efficiency"),
)
WEIGHTS = ("gamma", "alpha", "lambda_", "beta", "eta", "theta")
ADDED = ("tick", "gaps", "misfits", "false_pieces", "decay", "risk", "backtracks", "entropy")

finite = st.floats(allow_nan=False, allow_infinity=False)
states = st.dictionaries(st.sampled_from(FIELDS), finite | st.integers() | st.none())
weights = st.dictionaries(st.sampled_from(WEIGHTS), finite)
not_negative = st.dictionaries(st.sampled_from(WEIGHTS), st.floats(0, allow_infinity=False))


@pytest.mark.parametrize(
    ("state", "weighted", "efficiency"),
    [
        ({"tick": 1}, {}, 1.0),
        ({"tick": 10, "gaps": 5, "misfits": 2, "total_issues": 7}, {"gamma": 1.5}, 7 / 18),
        ({"tick": 10, "gaps": 2, "phi": 3, "total_issues": 2}, {"theta": 2.5}, 2 / 4.5),
        ({"tick": 5, "phi": 10, "total_issues": 5}, {}, 5.0),
    ],
)
def test_the_fixed_points(
    state: dict[str, float], weighted: dict[str, float], efficiency: float
) -> None:
    """Exactly, of a mapping and of an object."""
    assert compute_efficiency(state, **weighted) == efficiency
    assert compute_efficiency(SimpleNamespace(**state), **weighted) == efficiency


@pytest.mark.parametrize(
    ("weighted", "factors"),
    [
        ({}, (1, 1, 1, 1, 1, 2, 1, 1.5, -2)),
        (dict(zip(WEIGHTS, range(2, 8), strict=True)), (1, 1, 2, 3, 1, 4, 5, 6, -7)),
    ],
)
def test_each_field_has_its_weight(weighted: dict[str, float], factors: tuple[float, ...]) -> None:
    """Powers of ten tell which field came in with which."""
    state = {field: 10**place for place, field in enumerate((*ADDED, "phi"))}

    assert compute_denominator(state, **weighted) == sum(
        factor * 10**place for place, factor in enumerate(factors)
    )


@pytest.mark.parametrize(
    ("state", "issues"),
    [
        ({"total_issues": 7, "gaps": 5}, 7.0),
        ({"total_issues": 0, "gaps": 5, "misfits": 2, "false_pieces": 1}, 8.0),
        ({"gaps": 0}, 1.0),
        ({"total_issues": None}, 1.0),
        ({}, 1.0),
    ],
)
def test_there_is_always_something_to_solve(state: dict[str, float], issues: float) -> None:
    """The issues, else the pieces, else one."""
    assert compute_numerator(state) == issues


@pytest.mark.parametrize(
    ("passing", "total", "bits"),
    [(0, 0, 0.0), (0, 8, 0.0), (8, 8, 0.0), (4, 8, 1.0), (1, 4, 0.811278), (9, 8, 0.0), (1, -1, 0)],
)
def test_the_entropy_of_tests(passing: float, total: float, bits: float) -> None:
    """One bit where half of them pass, none where all or none do, and none without tests."""
    state = {"passing_tests": passing, "total_tests": total}

    assert compute_entropy(state) == pytest.approx(bits, abs=1e-6)


@given(states, weights)
def test_a_finite_state_never_raises(state: dict[str, float], weighted: dict[str, float]) -> None:
    """And E is a number from 0, however large the numbers are."""
    efficiency = compute_efficiency(state, **weighted)

    assert math.isfinite(efficiency) and efficiency >= 0


@given(states, not_negative, st.sampled_from(ADDED), finite, st.floats(1e-300, 1e300))
def test_what_it_costs_never_raises_efficiency(
    state: dict[str, float],
    weighted: dict[str, float],
    field: str,
    less: float,
    issues: float,
) -> None:
    """Each field that D adds, at the same number of issues."""
    more = less + abs(less)
    at = [{**state, "total_issues": issues, field: value} for value in (less, more)]

    assert compute_efficiency(at[0], **weighted) >= compute_efficiency(at[1], **weighted)


@given(states, not_negative, st.sampled_from(["phi", "total_issues"]), st.floats(1e-300, 1e300))
def test_what_helps_never_lowers_efficiency(
    state: dict[str, float], weighted: dict[str, float], field: str, less: float
) -> None:
    """`phi`, and more to solve for the same cost."""
    given_issues = {"total_issues": 1.0} if field == "phi" else {}
    at = [{**state, **given_issues, field: value} for value in (less, 2 * less)]

    assert compute_efficiency(at[0], **weighted) <= compute_efficiency(at[1], **weighted)


@given(st.floats(0, 1e300), st.floats(0, 1e300))
def test_entropy_lies_between_none_and_one_bit(passing: float, total: float) -> None:
    """And is that of the failing share too."""
    assume(passing <= total)
    entropy = compute_entropy({"passing_tests": passing, "total_tests": total})
    other = compute_entropy({"passing_tests": total - passing, "total_tests": total})

    assert 0 <= entropy <= 1
    assert other == pytest.approx(entropy, abs=1e-9)


@pytest.mark.parametrize("field", ["tick", "total_issues"])
def test_nan_is_not_taken_for_a_number(field: str) -> None:
    """An unknown efficiency is not one of 0."""
    assert math.isnan(compute_efficiency({field: math.nan}))
    assert math.isnan(compute_entropy({"total_tests": math.nan}))


def test_an_integer_beyond_every_float_is_a_large_number() -> None:
    """It raises nothing."""
    assert compute_efficiency({"tick": 10**400, "total_issues": 1}) == pytest.approx(0)
    assert compute_efficiency({"tick": -(10**400), "total_issues": 3}) == 3.0


def test_the_example_is_true() -> None:
    """The one in the documentation of the function."""
    assert doctest.testmod(formula).failed == 0

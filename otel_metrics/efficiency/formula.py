"""How efficient a system is: E = P ÷ D, and the entropy H of its tests. Pure functions.

The formulas of E, P and D, and the weights, are those of the orchestrators that call this: figures
recorded before and after they moved here must be comparable, so they change for no better idea.

A state is a mapping or any object with attributes; a field that it lacks, or that is None, counts
as 0. A finite state never raises. NaN in a field that is looked at gives NaN, as in arithmetic;
what is no number at all is a `TypeError` or a `ValueError` of `float()`.
"""

import math
from collections.abc import Mapping
from typing import Final

__all__ = [
    "compute_denominator",
    "compute_efficiency",
    "compute_entropy",
    "compute_numerator",
]

LARGEST: Final = 2.0**1000
"""A term beyond this counts as this, so that no sum of terms is infinite."""


def compute_efficiency(
    state: object,
    *,
    gamma: float = 1.0,
    alpha: float = 1.0,
    lambda_: float = 2.0,
    beta: float = 1.0,
    eta: float = 1.5,
    theta: float = 2.0,
) -> float:
    """Return the efficiency E = max(0, P ÷ max(1, D)) of a state: a number from 0, without unit.

    While `total_issues` is above 0 and no weight below 0, E never rises with a field that D adds,
    and never falls with `phi` or `total_issues`.

    Args:
        state: with the fields that `compute_numerator` and `compute_denominator` name.
        gamma, alpha, lambda_, beta, eta, theta: the weights of misfits, false pieces, risk,
            backtracks, entropy and phi in D.

    Example:
        >>> from otel_metrics.efficiency import compute_efficiency
        >>> compute_efficiency({"tick": 5, "phi": 10, "total_issues": 5})
        5.0
    """
    numerator = compute_numerator(state)
    denominator = compute_denominator(
        state, gamma=gamma, alpha=alpha, lambda_=lambda_, beta=beta, eta=eta, theta=theta
    )
    if math.isnan(numerator) or math.isnan(denominator):
        return math.nan  # max() would take NaN for a number, or not, by its place
    return max(0.0, numerator / max(1.0, denominator))


def compute_numerator(state: object) -> float:
    """Return P, in issues: what there is to solve.

    P = total_issues; where that is 0, gaps + misfits + false_pieces; where that is 0 too, 1.
    """
    total_issues = _field(state, "total_issues")
    if total_issues:
        return total_issues
    pieces = _field(state, "gaps") + _field(state, "misfits") + _field(state, "false_pieces")
    return pieces or 1.0


def compute_denominator(
    state: object,
    *,
    gamma: float = 1.0,
    alpha: float = 1.0,
    lambda_: float = 2.0,
    beta: float = 1.0,
    eta: float = 1.5,
    theta: float = 2.0,
) -> float:
    """Return D, without unit: what it costs, less what `phi` gives back. It may be below 1.

    D = tick + gaps + gamma · misfits + alpha · false_pieces + decay + lambda · risk
    + beta · backtracks + eta · entropy - theta · phi, where the entropy is in bits.
    """
    weights = {
        "tick": 1.0,
        "gaps": 1.0,
        "misfits": gamma,
        "false_pieces": alpha,
        "decay": 1.0,
        "risk": lambda_,
        "backtracks": beta,
        "entropy": eta,
        "phi": -theta,
    }
    total = 0.0  # added one by one, not by fsum, which raises where a sum is too large
    for field, weight in weights.items():
        total += _bounded(weight * _field(state, field))
    return total


def compute_entropy(state: object) -> float:
    """Return the Shannon entropy H of the split into passing and failing tests, in bits: 0 to 1.

    H = -p · log2(p) - (1 - p) · log2(1 - p), where p = passing_tests ÷ total_tests, held
    between 0 and 1; 0 without tests. (C. E. Shannon, A Mathematical Theory of Communication, 1948.)
    """
    total = _field(state, "total_tests")
    passing = _field(state, "passing_tests")
    if math.isnan(total) or math.isnan(passing):
        return math.nan
    if total <= 0:
        return 0.0
    share = passing / total
    if not 0 < share < 1:
        return 0.0
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)


def _field(state: object, field: str) -> float:
    value = state.get(field) if isinstance(state, Mapping) else getattr(state, field, None)
    if value is None:
        return 0.0
    try:
        return _bounded(float(value))
    except OverflowError:  # an int with more digits than a float has
        return LARGEST if value > 0 else -LARGEST


def _bounded(value: float) -> float:
    return value if math.isnan(value) else max(-LARGEST, min(LARGEST, value))

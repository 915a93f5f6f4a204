"""What followed each plan: which readings are its own, and what the figures are made of."""

import math
from collections.abc import Sequence

import pytest

from otel_metrics.efficiency.backtest import (
    Backtest,
    Figure,
    Outcome,
    Plan,
    Reading,
    Source,
    backtest,
)

MINUTE = 60 * 10**9
ONE = Source(service="forge", instance="one")
OTHER = Source(service="forge", instance="other")


def plan(
    minute: float,
    priority: float | None = 1.0,
    *,
    source: Source = ONE,
    cost_usd: float | None = None,
) -> Plan:
    """Return a plan that was made at a minute."""
    return Plan(
        source=source,
        time_ns=round(minute * MINUTE),
        plan_id=f"plan-{minute:g}",
        priority=priority,
        cost_usd=cost_usd,
    )


def said(*values: tuple[float, float], source: Source = ONE) -> list[Reading]:
    """Return what a process said of its efficiency, at minutes."""
    return [
        Reading(source=source, time_ns=round(minute * MINUTE), efficiency=value)
        for minute, value in values
    ]


def judged(
    plans: Sequence[Plan],
    readings: Sequence[Reading] = (),
    *,
    window: float = 10,
    rollbacks: float = 0,
    patches: float = 0,
) -> Backtest:
    """Return the backtest, with a window in minutes."""
    return backtest(
        plans, readings, window_ns=round(window * MINUTE), rollbacks=rollbacks, patches=patches
    )


def changes(made: Backtest) -> list[tuple[float | None, float | None, bool]]:
    """Return of each plan the efficiency before and after it, and whether it is shared."""
    return [(each.before, each.after, each.is_shared) for each in made.outcomes]


def test_a_change_is_from_the_newest_before_to_the_newest_after() -> None:
    """In the window; a reading at the very time of the plan is before it."""
    readings = said((0, 0.1), (4, 0.2), (5, 0.3), (6, 0.9), (15, 0.7), (16, 0.1))
    (outcome,) = judged([plan(5)], readings).outcomes

    assert (outcome.before, outcome.after, outcome.minutes) == (0.3, 0.7, 10.0)
    assert outcome.change == pytest.approx(0.4)


def test_no_plan_is_given_what_a_later_one_did() -> None:
    """The newest value after it is one before the next plan of its process."""
    readings = said((0, 0.1), (3, 0.3), (6, 0.6), (9, 1.0))
    made = judged([plan(1), plan(4), plan(7)], readings)

    assert changes(made) == [(0.1, 0.3, False), (0.3, 0.6, False), (0.6, 1.0, False)]


def test_plans_between_two_readings_share_their_change() -> None:
    """They are told apart, for they are not independent."""
    readings = said((0, 0.1), (3, 0.3), (9, 1.0))
    made = judged([plan(1), plan(2), plan(4)], readings)

    assert changes(made) == [(0.1, 0.3, True), (0.1, 0.3, True), (0.3, 1.0, False)]
    assert made.shared == 2


def test_plans_at_one_time_share_their_change() -> None:
    """Also where that is the time of a reading."""
    made = judged([plan(1), plan(1)], said((1, 0.1), (3, 0.3)))

    assert changes(made) == [(0.1, 0.3, True)] * 2


def test_a_process_answers_for_itself() -> None:
    """Neither another one's efficiency nor its plans count."""
    readings = said((0, 0.1), (5, 0.3)) + said((0, 0.8), (5, 0.2), source=OTHER)
    made = judged([plan(1), plan(2, source=OTHER)], readings)

    assert changes(made) == [(0.1, 0.3, False), (0.8, 0.2, False)]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (plan(5, None), "its priority is no number"),
        (plan(5, source=OTHER), "its process said nothing of the efficiency then"),
        (plan(0.5), "no efficiency in the window before it"),
        (plan(12), "no efficiency in the window before it"),
        (plan(5), "none in the window after it"),
    ],
)
def test_a_plan_without_a_change_says_why(made: Plan, reason: str) -> None:
    """And has no part in the figures."""
    found = judged([made], said((1, 0.1), (20, 0.4)))

    assert [each.reason for each in found.outcomes] == [reason]
    assert (found.pairs, found.outcomes[0].change) == ([], None)


def test_plans_come_in_the_order_of_time() -> None:
    """In whatever order they were read."""
    made = judged([plan(3), plan(1), plan(2, source=OTHER)])

    assert [each.plan.plan_id for each in made.outcomes] == ["plan-1", "plan-2", "plan-3"]


def test_the_pairs_are_correlated() -> None:
    """Priority against change: 1, 2, 3, 4, 5 against 0.1, 0.3, 0.2, 0.5, 0.4 is 0.8."""
    readings = said((0, 0), (1, 0.1), (2, 0.4), (3, 0.6), (4, 1.1), (5, 1.5))
    made = judged([plan(at + 0.5, at + 1) for at in range(5)], readings)

    assert made.pearson.value == pytest.approx(0.8)
    assert made.spearman.value == pytest.approx(0.8)
    assert made.line is not None and made.line.slope == pytest.approx(0.08)
    assert made.change_per_minute.value == pytest.approx(1.5 / 5)


def test_without_a_pair_there_is_a_reason() -> None:
    """In place of each figure that is made of pairs."""
    made = judged([plan(1)])

    assert (made.pearson.value, made.spearman.value, made.line) == (None, None, None)
    assert made.change_per_minute == Figure(reason="no plan has an efficiency before and after it")


def test_what_cannot_be_divided_has_a_reason() -> None:
    """No patch is not a ratio of 0, nor a fix for nothing."""
    made = judged([plan(1, cost_usd=2.0)], rollbacks=3)

    assert made.rollback_ratio == Figure(reason="no patch was applied")
    assert made.cost_per_fix == Figure(reason="no patch was applied")


def test_rollbacks_and_cost_are_told_by_the_patch() -> None:
    """The cost of every plan, also of one of which it is not known what followed."""
    plans = [plan(1, cost_usd=0.5), plan(2, None, cost_usd=0.25), plan(3, cost_usd=0.0)]
    made = judged(plans, rollbacks=1, patches=4)

    assert (made.rollback_ratio, made.cost_per_fix) == (Figure(value=0.25), Figure(value=0.1875))


@pytest.mark.parametrize(
    ("costs", "reason"),
    [
        ((0.5, None, 0.25), "1 of 3 plans has no known cost; the others cost 0.75 USD"),
        ((None, None), "2 of 2 plans have no known cost"),
    ],
)
def test_a_cost_that_is_not_known_is_not_zero(costs: tuple[float | None], reason: str) -> None:
    """With one of them unknown nothing is known of the whole but what the others cost."""
    plans = [plan(at, cost_usd=cost) for at, cost in enumerate(costs)]

    assert judged(plans, patches=2).cost_per_fix == Figure(reason=reason)


def test_a_change_is_no_change_until_both_are_known() -> None:
    """Half of it says nothing."""
    assert Outcome(plan=plan(1), before=math.pi).change is None

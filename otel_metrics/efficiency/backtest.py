"""What became of the efficiency after each plan, and what the plans cost. Pure.

A plan is compared with what its own process said of the efficiency: the newest value before it, and
the newest after it that comes before the next plan, so that no plan is given what a later one did.
Where nothing was said between two plans, the first value behind both is that of both, and they are
told apart from the others: what they share is not independent.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_metrics.efficiency.correlation import Correlation, Line, fit, pearson, spearman
from otel_metrics.plurals import counted

__all__ = ["Backtest", "Figure", "Outcome", "Plan", "Reading", "Source", "backtest"]

_NS_PER_MINUTE: Final = 60 * 10**9


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Source:
    """One process of a service."""

    service: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan that was made.

    Attributes:
        time_ns: when, in nanoseconds since 1970.
        priority: that the planner gave it; None where it is no finite number.
        cost_usd: what it cost; None where that is not known.
    """

    source: Source
    time_ns: int
    plan_id: str
    priority: float | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a process said of the efficiency, at a time in nanoseconds since 1970."""

    source: Source
    time_ns: int
    efficiency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A plan with what followed it.

    Attributes:
        before, after: the efficiency at the plan and after it.
        minutes: from the one to the other.
        is_shared: whether the process made another plan between the two.
        reason: why it is not known what followed.
    """

    plan: Plan
    before: float | None = None
    after: float | None = None
    minutes: float | None = None
    is_shared: bool = False
    reason: str | None = None

    @property
    def change(self) -> float | None:
        """By how much the efficiency rose; None where that is not known."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number, or the reason why there is none."""

    value: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What the plans of an archive came to.

    Attributes:
        outcomes: each plan, by time.
        pairs: priority and change of efficiency of those plans that have both.
        shared: pairs that share their change with another plan.
        pearson, spearman: correlation of the pairs.
        line: through the pairs, where there is one.
        change_per_minute: of the efficiency: all changes ÷ all the minutes that they took.
        rollbacks, patches: how many there were.
        rollback_ratio: rollbacks ÷ patches applied.
        cost_per_fix: cost of all plans in USD ÷ patches applied.
    """

    outcomes: Sequence[Outcome]
    pairs: Sequence[tuple[float, float]]
    shared: int
    pearson: Correlation
    spearman: Correlation
    line: Line | None
    change_per_minute: Figure
    rollbacks: float
    patches: float
    rollback_ratio: Figure
    cost_per_fix: Figure


def backtest(
    plans: Iterable[Plan],
    readings: Iterable[Reading],
    *,
    window_ns: int,
    rollbacks: float,
    patches: float,
) -> Backtest:
    """Return what followed the plans.

    Args:
        plans, readings: in any order.
        window_ns: how far from its plan an efficiency may be read.
        rollbacks, patches: by how much those counters rose in the time of the plans.
    """
    outcomes = _outcomes(sorted(plans, key=lambda plan: plan.time_ns), readings, window_ns)
    paired = [each for each in outcomes if each.change is not None]
    pairs = [(each.plan.priority or 0.0, each.change or 0.0) for each in paired]
    axes = {"x": "the priority", "y": "the change of efficiency"}
    return Backtest(
        outcomes=outcomes,
        pairs=pairs,
        shared=sum(each.is_shared for each in paired),
        pearson=pearson(pairs, **axes),
        spearman=spearman(pairs, **axes),
        line=fit(pairs),
        change_per_minute=_change_per_minute(paired),
        rollbacks=rollbacks,
        patches=patches,
        rollback_ratio=_per_patch(rollbacks, patches),
        cost_per_fix=_cost_per_fix([each.plan.cost_usd for each in outcomes], patches),
    )


def _outcomes(
    plans: Sequence[Plan], readings: Iterable[Reading], window_ns: int
) -> Sequence[Outcome]:
    said: dict[Source, list[Reading]] = {plan.source: [] for plan in plans}
    for reading in readings:
        if reading.source in said:
            said[reading.source].append(reading)
    for each in said.values():
        each.sort(key=_time)
    times: dict[Source, list[int]] = {source: [] for source in said}
    for plan in plans:
        times[plan.source].append(plan.time_ns)
    return [_outcome(plan, said[plan.source], times[plan.source], window_ns) for plan in plans]


def _outcome(plan: Plan, said: Sequence[Reading], times: Sequence[int], window_ns: int) -> Outcome:
    """Return what followed a plan.

    Args:
        said: by its process, by time.
        times: of all plans of its process, in order.
    """
    if plan.priority is None:
        return Outcome(plan=plan, reason="its priority is no number")
    if not said:
        return Outcome(plan=plan, reason="its process said nothing of the efficiency then")
    now = bisect_right(said, plan.time_ns, key=_time)
    before = said[now - 1] if now else None
    if before is None or before.time_ns < plan.time_ns - window_ns:
        return Outcome(plan=plan, reason="no efficiency in the window before it")
    later = bisect_right(times, plan.time_ns)
    last_ns = plan.time_ns + window_ns
    own_ns = min([last_ns, *times[later : later + 1]])
    after = said[max(now, bisect_right(said, own_ns, key=_time) - 1)] if now < len(said) else None
    if after is None or after.time_ns > last_ns:
        return Outcome(plan=plan, before=before.efficiency, reason="none in the window after it")
    between = bisect_left(times, after.time_ns) - bisect_left(times, before.time_ns)
    return Outcome(
        plan=plan,
        before=before.efficiency,
        after=after.efficiency,
        minutes=(after.time_ns - before.time_ns) / _NS_PER_MINUTE,
        is_shared=between > 1,
    )


def _time(reading: Reading) -> int:
    return reading.time_ns


def _change_per_minute(paired: Sequence[Outcome]) -> Figure:
    if not paired:
        return Figure(reason="no plan has an efficiency before and after it")
    minutes = sum(each.minutes or 0.0 for each in paired)
    return Figure(value=sum(each.change or 0.0 for each in paired) / minutes)


def _per_patch(amount: float, patches: float) -> Figure:
    if patches <= 0:
        return Figure(reason="no patch was applied")
    return Figure(value=amount / patches)


def _cost_per_fix(costs: Sequence[float | None], patches: float) -> Figure:
    known = [cost for cost in costs if cost is not None]
    unknown = len(costs) - len(known)
    if unknown == 0 or patches <= 0:
        return _per_patch(sum(known), patches)
    those = f"; the others cost {sum(known):g} USD" if known else ""
    has = "has" if unknown == 1 else "have"
    of = f"{unknown} of {counted(len(costs), 'plan')}"
    return Figure(reason=f"{of} {has} no known cost{those}")

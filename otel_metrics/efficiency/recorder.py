"""Says how an orchestrated system stands, and counts what it does. Nothing here raises."""

import difflib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from otel_metrics import events, instruments, values
from otel_metrics.amounts import amount, never_raises
from otel_metrics.efficiency.formula import compute_efficiency, compute_entropy

__all__ = [
    "DIP_BELOW",
    "STATE_FIELDS",
    "agent_error",
    "agents_active",
    "budget_usage",
    "patch_applied",
    "record_plan",
    "recovery_action",
    "rollback",
    "tick",
    "update_state_gauges",
]

DIP_BELOW: Final = 0.50
"""An efficiency below this makes an `efficiency.dip` event."""
STATE_FIELDS: Final = (
    "gaps",
    "misfits",
    "false_pieces",
    "risk",
    "backtracks",
    "entropy",
    "decay",
    "phi",
    "total_issues",
    "closed_issues",
    "passing_tests",
    "total_tests",
    "efficiency",
    "tick",
)
"""The fields that a state may have."""

_TESTS: Final = ("passing_tests", "total_tests")
"""What the entropy is computed from."""
_FORMULA: Final = (
    "tick",
    "gaps",
    "misfits",
    "false_pieces",
    "decay",
    "risk",
    "backtracks",
    "entropy",
    "phi",
    "total_issues",
)
"""What the efficiency is computed from."""
_STATE: Final = "efficiency.state"
"""What `metric.rejected` calls a state, which is five metrics."""
_ABSENT: Final = object()

_STATE_GAUGES: Final = {
    field: instruments.metric(f"pforge.{field}")
    for field in ("efficiency", "entropy", "gaps", "misfits", "false_pieces")
}
_agents_active = instruments.metric("pforge.agents.active")
_ticks = instruments.metric("pforge.ticks")
_tick_duration = instruments.metric("pforge.orchestrator.tick.duration")
_agent_errors = instruments.metric("pforge.agent.errors")
_patches_applied = instruments.metric("pforge.patches.applied")
_rollbacks = instruments.metric("pforge.rollbacks")
_recovery_actions = instruments.metric("pforge.recovery.actions")
_budget_usage = instruments.metric("pforge.budget.usage")


@never_raises(_STATE)
def update_state_gauges(state: object) -> None:
    """Set the gauges efficiency, entropy, gaps, misfits and false_pieces from one state.

    All five are read before the first is set. Where the state lacks its entropy or efficiency, or
    has None, and has each field that it is computed from, it is computed, with the weights that are
    the formula's defaults. What cannot be had keeps its value. An efficiency below `DIP_BELOW` is
    also an `efficiency.dip` event with the whole state. A mapping with a key that is no field, and
    a state with no field at all, count as rejected.

    Args:
        state: a mapping, or any object with attributes, with fields of `STATE_FIELDS`. Efficiency
            is E = max(0, P / max(1, D)), entropy is in bits, the other three are counts.

    Example:
        >>> from otel_metrics import efficiency
        >>> efficiency.update_state_gauges({"efficiency": 0.8, "entropy": 0.2, "gaps": 3})
    """
    read = _read(state)
    taken = {
        field: amount(gauge.name, read[field])
        for field, gauge in _STATE_GAUGES.items()
        if read.get(field) is not None
    }
    _complete(taken, read)
    for field, value in taken.items():
        if value is not None:
            _STATE_GAUGES[field].set(value)
    reached = taken.get("efficiency")
    if reached is not None and reached < DIP_BELOW:
        events.emit("efficiency.dip", read | taken)


@never_raises("pforge.ticks")
def tick(duration_s: float | None = None) -> None:
    """Count a tick of the orchestrator, with the seconds that it took."""
    _ticks.add(1)
    if duration_s is not None:
        _tick_duration.record(duration_s)


@never_raises("pforge.agent.errors")
def agent_error(agent_type: str) -> None:
    """Count an error of an agent of this kind."""
    _agent_errors.add(1, {"agent_type": agent_type})


def patch_applied() -> None:
    """Count a patch that was applied."""
    _patches_applied.add(1)


def rollback() -> None:
    """Count a patch that was rolled back."""
    _rollbacks.add(1)


@never_raises("pforge.recovery.actions")
def recovery_action(action_type: str) -> None:
    """Count a recovery action of this kind."""
    _recovery_actions.add(1, {"action_type": action_type})


@never_raises("pforge.agents.active")
def agents_active(agent_type: str, agents: int) -> None:
    """Set how many agents of this kind are at work."""
    _agents_active.set(agents, {"agent_type": agent_type})


@never_raises("pforge.budget.usage")
def budget_usage(tenant: str, percent: float) -> None:
    """Set how much of its daily token quota a tenant has used, in percent: 0 to 100."""
    _budget_usage.set(percent, {"tenant": tenant})


@never_raises("efficiency.plan")
def record_plan(plan_id: str, priority: float, *, cost_usd: float | None = None) -> None:
    """Keep a plan as an event, so that a backtest can ask what the efficiency did after it.

    Args:
        plan_id: of the plan.
        priority: that the planner gave it; any finite number, the higher the sooner.
        cost_usd: what it cost, in USD.
    """
    given = amount("efficiency.plan", priority, negative=True)
    if given is None:
        return
    cost = None if cost_usd is None else amount("efficiency.plan", cost_usd)
    events.emit("efficiency.plan", {"plan_id": plan_id, "priority": given, "cost_usd": cost})


def _complete(taken: dict[str, float | None], read: Mapping[str, object]) -> None:
    """Add what the state does not say and can be computed, from all that it is computed from: a
    field that is not known is not 0."""
    if "entropy" not in taken:
        tests = _numbers(_TESTS, taken, read)
        if tests is not None:
            taken["entropy"] = compute_entropy(tests)
    if "efficiency" not in taken:
        terms = _numbers(_FORMULA, taken, read)
        if terms is not None:
            taken["efficiency"] = compute_efficiency(terms)


def _numbers(
    fields: Sequence[str], taken: Mapping[str, float | None], read: Mapping[str, object]
) -> dict[str, float] | None:
    """Return fields as numbers; None where one is not known or is none."""
    if any(taken.get(field) is None and read.get(field) is None for field in fields):
        return None
    found = {
        field: taken[field] if field in taken else amount(_STATE, read[field], negative=True)
        for field in fields
    }
    numbers = {field: number for field, number in found.items() if number is not None}
    return numbers if len(numbers) == len(fields) else None


def _read(state: object) -> dict[str, object]:
    """Return the fields that a state has, and account for what is none."""
    found = {field: _field(state, field) for field in STATE_FIELDS}
    read = {field: value for field, value in found.items() if value is not _ABSENT}
    if isinstance(state, Mapping):
        # One key more than there are fields holds a key that is none, if there is one.
        keys = islice(state, len(STATE_FIELDS) + 1)
        unknown = next((key for key in map(_plain, keys) if key not in STATE_FIELDS), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, STATE_FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            instruments.reject(_STATE, "unknown_field", f"{_accepted()}{hint}")
            return read
    if not read:
        instruments.reject(_STATE, "unknown_field", f"a mapping or an object with {_accepted()}")
    return read


def _field(state: object, field: str) -> object:
    try:
        if isinstance(state, Mapping):
            return state[field] if field in state else _ABSENT  # noqa: SIM401  # get() may be absent
        return getattr(state, field, _ABSENT)
    except Exception as error:  # noqa: BLE001  # a property or a mapping of the caller's own
        kind = type(error).__qualname__
        instruments.reject(_STATE, "hostile_value", f"a {field} that does not raise {kind}")
        return None


def _plain(key: object) -> str:
    return str(values.label(key))[:64]


def _accepted() -> str:
    return f"fields of {', '.join(STATE_FIELDS)}"

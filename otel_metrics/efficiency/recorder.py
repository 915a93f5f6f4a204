"""Says how an orchestrated system stands, and counts what it does. Nothing here raises."""

from collections.abc import Mapping
from typing import Final

from otel_metrics import events, instruments
from otel_metrics.amounts import amount

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


def update_state_gauges(state: object) -> None:
    """Set the gauges efficiency, entropy, gaps, misfits and false_pieces from one state.

    All five are read before the first is set. One that the state lacks keeps its value. An
    efficiency below `DIP_BELOW` is also an `efficiency.dip` event with the whole state.

    Args:
        state: a mapping, or any object with attributes, with fields of `STATE_FIELDS`. Efficiency
            is E = max(0, P / max(1, D)), entropy is in bits, the other three are counts.

    Example:
        >>> from otel_metrics import efficiency
        >>> efficiency.update_state_gauges({"efficiency": 0.8, "entropy": 0.2, "gaps": 3})
    """
    read = {field: _read(state, field) for field in STATE_FIELDS}
    taken = {
        field: amount(gauge.name, read[field])
        for field, gauge in _STATE_GAUGES.items()
        if read[field] is not None
    }
    for field, value in taken.items():
        if value is not None:
            _STATE_GAUGES[field].set(value)
    reached = taken.get("efficiency")
    if reached is not None and reached < DIP_BELOW:
        events.emit("efficiency.dip", read | taken)


def tick(duration_s: float | None = None) -> None:
    """Count a tick of the orchestrator, with the seconds that it took."""
    _ticks.add(1)
    if duration_s is not None:
        _tick_duration.record(duration_s)


def agent_error(agent_type: str) -> None:
    """Count an error of an agent of this kind."""
    _agent_errors.add(1, {"agent_type": agent_type})


def patch_applied() -> None:
    """Count a patch that was applied."""
    _patches_applied.add(1)


def rollback() -> None:
    """Count a patch that was rolled back."""
    _rollbacks.add(1)


def recovery_action(action_type: str) -> None:
    """Count a recovery action of this kind."""
    _recovery_actions.add(1, {"action_type": action_type})


def agents_active(agent_type: str, agents: int) -> None:
    """Set how many agents of this kind are at work."""
    _agents_active.set(agents, {"agent_type": agent_type})


def budget_usage(tenant: str, percent: float) -> None:
    """Set how much of its daily token quota a tenant has used, in percent: 0 to 100."""
    _budget_usage.set(percent, {"tenant": tenant})


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


def _read(state: object, field: str) -> object:
    try:
        if isinstance(state, Mapping):
            return state.get(field)
        return getattr(state, field, None)
    except Exception:  # noqa: BLE001  # a property or a mapping of the caller's own
        return None

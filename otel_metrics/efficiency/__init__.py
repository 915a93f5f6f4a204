"""How well an orchestrated system converges: efficiency, entropy, and what happened on the way."""

from otel_metrics.efficiency.recorder import (
    agent_error,
    agents_active,
    budget_usage,
    patch_applied,
    record_plan,
    recovery_action,
    rollback,
    tick,
    update_state_gauges,
)

__all__ = [
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

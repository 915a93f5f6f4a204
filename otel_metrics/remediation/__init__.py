"""Acting on service telemetry: playbooks, policy, approvals, actions, audit."""

from otel_metrics.remediation.actions.callables import Call, register

__all__ = ["Call", "register"]

"""Acting on service telemetry: playbooks, policy, approvals, actions, audit."""

from otel_metrics.remediation.registry import Call, register

__all__ = ["Call", "register"]

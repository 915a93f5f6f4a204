"""Acting on service telemetry: playbooks, policy, approvals, actions, audit."""

"""Approvals as rows, for tables and for `--format`. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from otel_metrics.remediation.approval_rows import Approval
from otel_metrics.remediation.audit import text_of
from otel_metrics.remediation.views import approval_view, plan_lines

__all__ = ["COLUMNS", "row"]

COLUMNS: Final = ("id", "state", "playbook", "tier", "target", "asked_by", "expires_at", "reason")
"""What the table shows."""


def row(approval: Approval) -> Mapping[str, Any]:
    """Return an approval without levels; what would be done is a line for each step."""
    parameters = [f"{name}={value}" for name, value in approval.parameters.items()]
    return {
        **approval_view(approval),
        "target": text_of(approval.request.target),
        "parameters": parameters,
        "plan": plan_lines(approval.plan),
    }

"""Runs and approvals as plain data, as commands print them and the API answers them. Pure."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from otel_metrics.remediation.approval_rows import Approval
from otel_metrics.remediation.audit import text_of
from otel_metrics.remediation.runs import Run

__all__ = ["approval_view", "as_time", "plan_lines", "run_view"]


def approval_view(approval: Approval) -> dict[str, object]:
    """Return exactly what an approval is for, and what became of it."""
    request = approval.request
    return {
        "id": approval.id,
        "state": approval.state,
        "playbook": request.playbook,
        "tier": approval.tier,
        "target": {"scope": request.target.scope, "id": request.target.id},
        "parameters": dict(approval.parameters),
        "plan": [list(step) for step in approval.plan],
        "sha256": approval.digest,
        "configuration_sha256": approval.configuration_sha256,
        "metric": request.metric,
        "band": request.band,
        "asked_by": request.actor,
        "reason": request.reason,
        "asked_at": as_time(approval.asked_at),
        "expires_at": as_time(approval.expires_at),
        "decided_by": approval.decided_by,
        "decision_reason": approval.decision_reason,
        "decided_at": as_time(approval.decided_at),
        "detail": approval.detail,
        "run": approval.run_id,
    }


def run_view(run: Run) -> dict[str, object]:
    """Return what was run, or was to be."""
    request = run.request
    return {
        "id": run.id,
        "kind": run.kind,
        "result": run.result or run.state,
        "playbook": request.playbook,
        "target": text_of(request.target),
        "metric": request.metric,
        "band": request.band,
        "actor": request.actor,
        "reason": request.reason,
        "began_at": as_time(run.began_at),
        "ended_at": as_time(run.ended_at),
        "verification": run.verification,
        "verified_at": as_time(run.verified_at),
        "approval": run.approval_id,
        "rerun_of": run.rerun_of,
        "detail": run.detail,
        "parameters": dict(request.parameters),
        "plan": [list(step) for step in run.plan],
        "configuration_sha256": run.configuration_sha256,
    }


def plan_lines(plan: Sequence[Sequence[str]]) -> list[str]:
    """Return steps as people read them: what could be taken for two arguments is in quotes."""
    return [shlex.join(step) for step in plan]


def as_time(unix_s: float | None) -> str | None:
    """Return a time in RFC 3339, to the second."""
    return None if unix_s is None else f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}"

"""Carrying a decision about an approval out, which `approve` and `reject` share."""

from typing import Any, Final, Literal

import click

from otel_metrics.cli import formats
from otel_metrics.cli.approvals.listing import row
from otel_metrics.cli.playbooks.opening import Files, opened
from otel_metrics.cli.playbooks.options import ledger_file, say
from otel_metrics.remediation.views import as_time

__all__ = ["decide"]

_COLUMNS: Final = ("id", "state", "playbook", "target", "decided_by", "decision_reason")


def decide(
    context: click.Context,
    decision: Literal["approve", "reject"],
    *,
    approval_id: str,
    actor: str,
    reason: str,
    form: str,
    **files: Any,
) -> None:
    """Decide, and print what holds now."""
    files["db"] = ledger_file(context, files["db"])
    with opened(context, Files(**files)) as engine:
        approval = engine.approvals.decide(approval_id, decision, actor=actor, reason=reason)
    click.echo(formats.printable(formats.formatted([row(approval)], form, columns=_COLUMNS)))
    if approval.state == "approved":
        say(f"a service that uses {files['db']} runs it, until {as_time(approval.expires_at)}")

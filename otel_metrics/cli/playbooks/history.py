"""`otel-metrics playbooks history`: what the ledger knows, and what the audit says of one run."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from otel_exporter_ndjson import Finding
from otel_metrics.archive.remediation_audit import entries
from otel_metrics.catalog.loader import builtin
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import archive_option, service_option, tell
from otel_metrics.cli.archive.tables import print_table
from otel_metrics.cli.matching import suggestion
from otel_metrics.cli.playbooks.opening import looking
from otel_metrics.cli.playbooks.options import (
    EXIT_NO,
    EXIT_PARTLY,
    db_option,
    end,
    ledger_file,
    say,
)
from otel_metrics.remediation.audit import Entry
from otel_metrics.remediation.chains import faults
from otel_metrics.remediation.runs import HISTORY_MAX
from otel_metrics.remediation.views import plan_lines, run_view

__all__ = ["history"]

_COLUMNS: Final = ("began_at", "id", "playbook", "target", "actor", "result", "verification")
_ENTRY_COLUMNS: Final = ("sequence", "timestamp", "event", "actor", "result", "detail")
_RUN: Final = "remediation.run.id"
_APPROVAL: Final = "remediation.approval.id"


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@db_option
@archive_option
@service_option
@click.option("--playbook", help="Only runs of this playbook.")
@click.option(
    "--limit",
    type=click.IntRange(1, HISTORY_MAX),
    default=50,
    show_default=True,
    help="At most so many, the newest.",
)
@formats.option
@click.pass_context
def history(
    context: click.Context,
    *,
    run_id: str | None,
    db: str | None,
    path: str,
    service: str | None,
    playbook: str | None,
    limit: int,
    form: str,
) -> None:
    """List what was run, asked for or refused, the newest first.

    With RUN, print every entry of the audit about that run and its approval, in order, from the
    archive alone; the ledger need not be there.

    Exit status 1 when the audit says nothing of RUN, 2 when the ledger is not there, 3 when the
    chain of the audit's entries does not hold.
    """
    if run_id is not None:
        _audited(context, run_id, path, service, form)
        return
    ledger = ledger_file(context, db)
    with looking(context, ledger) as engine:
        found = engine.history(playbook=playbook, limit=limit)
    rows = [{**run_view(run), "plan": plan_lines(run.plan)} for run in found]
    if not rows:
        say(f"{ledger}: has no runs{_of(playbook)}")
    _print(rows, form, _COLUMNS)


def _of(playbook: str | None) -> str:
    if playbook is None:
        return ""
    known = list(builtin().playbooks)
    return f" of {playbook}{'' if playbook in known else suggestion(playbook, known)}"


def _audited(
    context: click.Context, run_id: str, path: str, service: str | None, form: str
) -> None:
    """Print the entries of one run, and end."""
    findings: list[Finding] = []
    said = [*entries(path, service=service, findings=findings)]
    approvals = {
        fields[_APPROVAL]
        for _, fields in said
        if fields.get(_RUN) == run_id and _APPROVAL in fields
    }
    # One that was said twice, byte for byte, is one: its writer did not learn that it was written.
    found = {
        fields.get("entry_hash"): _entry_row(event, fields)
        for event, fields in said
        if fields.get(_RUN) == run_id or fields.get(_APPROVAL) in approvals
    }
    if not found:
        end(context, f"RUN={run_id}: --archive={path} says nothing of it", EXIT_NO)
    _print(sorted(found.values(), key=lambda row: row["sequence"] or 0), form, _ENTRY_COLUMNS)
    wrong = [*faults(fields for _, fields in said)]
    for line in wrong:
        say(f"--archive={path}: the audit: {line}")
    damaged = tell(findings)
    context.exit(EXIT_PARTLY if wrong or damaged else 0)


def _entry_row(event: str, fields: Entry) -> Mapping[str, Any]:
    """Return an entry, what its event is, and one line of detail."""
    return {
        "sequence": fields.get("sequence"),
        "timestamp": fields.get("timestamp"),
        "event": event,
        "actor": fields.get("actor"),
        "result": fields.get("result"),
        "detail": fields.get("remediation.detail") or fields.get("reason") or "",
        "entry": dict(fields),
    }


def _print(rows: Sequence[Mapping[str, Any]], form: str, columns: Sequence[str]) -> None:
    if form == "table":
        if rows:
            print_table([_without_none(row) for row in rows], columns, right=("sequence",))
        return
    click.echo(formats.printable(formats.formatted(rows, form, columns=columns)))


def _without_none(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: "" if value is None else value for key, value in row.items()}

"""`otel-metrics playbooks plan`: what would be done, and what would come of asking for it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from otel_metrics.cli import formats
from otel_metrics.cli.playbooks.asking import asking_options, request_of
from otel_metrics.cli.playbooks.opening import Files, files_options, opened
from otel_metrics.cli.playbooks.options import (
    EXIT_NO,
    catalog_in_force,
    configured,
    ledger_file,
    playbooks_option,
)
from otel_metrics.remediation.audit import text_of
from otel_metrics.remediation.engine import Plan
from otel_metrics.remediation.model import Request
from otel_metrics.remediation.views import plan_lines

__all__ = ["plan"]

_COLUMNS: Final = ("playbook", "target", "result", "detail")
_NO: Final = frozenset({"refused", "limited", "repeated", "notified"})
RUN: Final = "run"
"""What would come of a request that nothing is against."""


@click.command()
@asking_options
@click.option(
    "--actor", default="somebody", show_default=True, help="Who would ask; the policy may go by it."
)
@playbooks_option
@files_options
@formats.option
@click.pass_context
def plan(
    context: click.Context,
    /,
    *,
    actor: str,
    file: str | None,
    db: str | None,
    path: str,
    service: str | None,
    key_file: str | None,
    form: str,
    **asked: Any,
) -> None:
    """Say exactly what PLAYBOOK would do to a target, and what policy and limits say of it.

    The result is what `playbooks run` would come to now: run; waiting, for an approval; dry_run,
    where it is not enabled or there is no key for the audit; or what is against it. Nothing is done
    and nothing is noted.

    Exit status 1 when it would not be done: refused, limited, or bound to nothing; 2 when the file
    of playbooks does not hold.
    """
    catalog = catalog_in_force(context)
    request = request_of(context, catalog, actor=actor, reason="plan", **asked)
    configuration = configured(context, file, db, catalog)
    with _ledger(context, db) as ledger:
        files = Files(db=ledger, path=path, service=service, key_file=key_file)
        with opened(
            context,
            files,
            configuration=configuration,
            catalog=catalog,
            targets=(request.target,),
            is_quiet=True,
        ) as engine:
            found = engine.plan(request)
    row = _row(request, found)
    if form == "table":
        click.echo(formats.printable(_for_people(row)))
    else:
        click.echo(formats.printable(formats.formatted([row], form, columns=_COLUMNS)))
    context.exit(EXIT_NO if row["result"] in _NO else 0)


@contextlib.contextmanager
def _ledger(context: click.Context, db: str | None) -> Iterator[str]:
    """Give the ledger; an empty one where there is none, so that a plan makes none."""
    if db is not None and os.path.exists(ledger_file(context, db, make=True)):
        yield db
        return
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "empty.db")


def _row(request: Request, found: Plan) -> Mapping[str, Any]:
    considered = found.considered
    row: dict[str, Any] = {
        "playbook": request.playbook,
        "target": text_of(request.target),
        "result": RUN if found.outcome is None else found.outcome.result,
        "detail": "",
    }
    if found.outcome is not None:
        row["detail"] = found.outcome.detail
    elif considered is not None:
        row["detail"] = considered.ruling.reason
    if considered is None:
        return row
    wanted = considered.verification
    return {
        **row,
        "tier": considered.tier,
        "policy": f"{considered.ruling.decision}, by {considered.ruling.reason}",
        "parameters": [f"{name}={value}" for name, value in considered.parameters.items()],
        "steps": plan_lines(considered.plan),
        "rollback": plan_lines(considered.rollback),
        "verification": ""
        if wanted is None
        else f"{wanted.metric or request.metric} {wanted.band} within {wanted.within_s:g} s",
        "sha256": considered.digest,
    }


def _for_people(row: Mapping[str, Any]) -> str:
    """Return a line for each field, and for each step."""
    width = max(map(len, row))
    lines = []
    for key, value in row.items():
        each = value if isinstance(value, list) else [value]
        names = [key, *[""] * (len(each) - 1)]
        lines += [
            f"{name.ljust(width)}  {text}".rstrip() for name, text in zip(names, each, strict=False)
        ]
    return "\n".join(lines)

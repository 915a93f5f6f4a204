"""`otel-metrics approvals show`: exactly what is asked for."""

import json
from collections.abc import Mapping
from typing import Any

import click

from otel_metrics.cli import formats
from otel_metrics.cli.approvals.listing import COLUMNS, row
from otel_metrics.cli.playbooks.opening import looking
from otel_metrics.cli.playbooks.options import db_option, ledger_file
from otel_metrics.remediation.views import approval_view

__all__ = ["show"]


@click.command()
@click.argument("approval_id", metavar="ID")
@db_option
@formats.option
@click.pass_context
def show(context: click.Context, *, approval_id: str, db: str | None, form: str) -> None:
    """Say exactly what approval ID is for, down to each argument, and what became of it.

    Exit status 1 when there is no such approval, 2 when the ledger is not there.
    """
    with looking(context, ledger_file(context, db)) as engine:
        approval = engine.approvals.get(approval_id)
    if form == "table":
        text = _for_people(row(approval))
    elif form == "json":
        text = json.dumps(approval_view(approval), ensure_ascii=False, indent=2)
    else:
        text = formats.formatted([row(approval)], form, columns=COLUMNS)
    click.echo(formats.printable(text))


def _for_people(shown: Mapping[str, Any]) -> str:
    lines = []
    width = max(map(len, shown))
    for key, value in shown.items():
        many = [
            str(each).replace("\n", "\\n")
            for each in (value if isinstance(value, list) else [value])
        ]
        for number, each in enumerate(many or ["none"]):
            name = key if number == 0 else ""
            lines.append(f"{name.ljust(width)}  {'-' if value in (None, '') else each}")
    return "\n".join(lines)

"""`otel-metrics approvals list`: what waits for a person, and what became of the rest."""

from typing import Final, cast, get_args

import click

from otel_metrics.cli import formats
from otel_metrics.cli.approvals.listing import COLUMNS, row
from otel_metrics.cli.archive.tables import print_table
from otel_metrics.cli.playbooks.opening import looking
from otel_metrics.cli.playbooks.options import db_option, ledger_file, say
from otel_metrics.remediation.approvals import State

__all__ = ["list"]

_LISTED_MAX: Final = 1_000


@click.command()
@db_option
@click.option(
    "--state",
    type=click.Choice([*get_args(State), "all"]),
    default="pending",
    show_default=True,
    help="Only those in this state.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, _LISTED_MAX),
    default=100,
    show_default=True,
    help="At most so many, the newest.",
)
@formats.option
@click.pass_context
def list(  # noqa: A001  # its name
    context: click.Context, *, db: str | None, state: str, limit: int, form: str
) -> None:
    """List the approvals that wait for a person, the newest first.

    None is no error: a line says so, with status 0. Exit status 2 when the ledger is not there.
    """
    path = ledger_file(context, db)
    wanted = None if state == "all" else cast("State", state)
    with looking(context, path) as engine:
        rows = [row(each) for each in engine.approvals.list(state=wanted, limit=limit)]
    if not rows:
        say(f"{path}: no approval is {state}" if wanted else f"{path}: has no approvals")
    if form != "table":
        click.echo(formats.printable(formats.formatted(rows, form, columns=COLUMNS)))
    elif rows:
        print_table(rows, COLUMNS)

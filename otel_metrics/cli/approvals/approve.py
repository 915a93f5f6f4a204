"""`otel-metrics approvals approve`: let what is asked for run, once."""

from typing import Any

import click

from otel_metrics.cli import formats
from otel_metrics.cli.approvals.deciding import decide
from otel_metrics.cli.playbooks.opening import files_options
from otel_metrics.cli.playbooks.options import actor_option, reason_option

__all__ = ["approve"]


@click.command()
@click.argument("approval_id", metavar="ID")
@actor_option
@reason_option
@files_options
@formats.option
@click.pass_context
def approve(context: click.Context, /, **given: Any) -> None:
    """Let what approval ID is for run, once, exactly as `approvals show` prints it.

    A service that uses the ledger runs it within seconds; where none runs, nothing does. Nobody may
    approve what is of tier 3 or 4 and was asked for in the same name.

    Exit status 1 when there is no such approval, it is decided or over, or this actor may not
    decide; 2 when the ledger is not there.
    """
    decide(context, "approve", **given)

"""`otel-metrics approvals reject`: refuse what is asked for."""

from typing import Any

import click

from otel_metrics.cli import formats
from otel_metrics.cli.approvals.deciding import decide
from otel_metrics.cli.playbooks.opening import files_options
from otel_metrics.cli.playbooks.options import actor_option, reason_option

__all__ = ["reject"]


@click.command()
@click.argument("approval_id", metavar="ID")
@actor_option
@reason_option
@files_options
@formats.option
@click.pass_context
def reject(context: click.Context, /, **given: Any) -> None:
    """Refuse what approval ID is for: it does not run.

    Exit status 1 when there is no such approval, it is decided or over, or this actor may not
    decide; 2 when the ledger is not there.
    """
    decide(context, "reject", **given)

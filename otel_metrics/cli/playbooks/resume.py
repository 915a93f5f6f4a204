"""`otel-metrics playbooks resume`: let playbooks run again."""

from typing import Any

import click

from otel_metrics.cli import formats
from otel_metrics.cli.playbooks.opening import files_options
from otel_metrics.cli.playbooks.options import actor_option, playbooks_option, reason_option
from otel_metrics.cli.playbooks.switching import turn

__all__ = ["resume"]


@click.command()
@actor_option
@reason_option
@playbooks_option
@files_options
@formats.option
@click.pass_context
def resume(context: click.Context, /, **given: Any) -> None:
    """Remove the stop file, so that playbooks may run again.

    What was asked for meanwhile was refused, and is not run now; what was approved and has not
    expired is.

    Exit status 1 when the audit cannot be told, or the stop file not be removed; 2 when no option
    names it; 3 when nothing runs all the same, because OTEL_PYTHON_METRICS_REMEDIATION_STOP says
    so, when the file of playbooks does not hold, or when there is no ledger, and so no audit.
    """
    turn(context, on=False, **given)

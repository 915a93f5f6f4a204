"""`otel-metrics skills rollback`: return a skill from production to staged."""

from typing import Any

import click

from otel_metrics.cli.skills.returning import options, send_back

__all__ = ["rollback"]


@click.command()
@options
def rollback(context: click.Context, **given: Any) -> None:
    """Return SKILL from production to staged, whether or not a trigger fires.

    The promotion log has no field for an approver: approver and ticket stand in `trigger_metric`,
    beside the figure of every trigger that fires; `automated` is false.

    Exit status 1 when the skill is not in production, and then nothing has changed; 2 for wrong
    use; 3 when it is decided, and a service or the archive could not be told.
    """
    send_back(context, "production", **given)

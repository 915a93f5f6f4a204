"""`otel-metrics skills demote`: return a skill from staged to prototype."""

from typing import Any

import click

from otel_metrics.cli.skills.returning import options, send_back

__all__ = ["demote"]


@click.command()
@options
def demote(context: click.Context, **given: Any) -> None:
    """Return SKILL from staged to prototype.

    It is written as a rollback of which `automated` is false; approver and ticket stand in
    `trigger_metric`.

    Exit status 1 when the skill is not staged, and then nothing has changed; 2 for wrong use; 3
    when it is decided, and a service or the archive could not be told.
    """
    send_back(context, "staged", **given)

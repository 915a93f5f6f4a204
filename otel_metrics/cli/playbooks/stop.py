"""`otel-metrics playbooks stop`: stop everything that runs, and let nothing run."""

from typing import Any

import click

from otel_metrics.cli import formats
from otel_metrics.cli.playbooks.opening import files_options
from otel_metrics.cli.playbooks.options import actor_option, playbooks_option, reason_option
from otel_metrics.cli.playbooks.switching import turn

__all__ = ["stop"]


@click.command()
@actor_option
@reason_option
@playbooks_option
@files_options
@formats.option
@click.pass_context
def stop(context: click.Context, /, **given: Any) -> None:
    """Stop every playbook, in every service that reads the file, until `playbooks resume`.

    What runs is ended within 2 seconds; nothing begins, whoever asks or has approved it. `touch`ing
    the stop file does the same.

    Exit status 1 when the stop file cannot be made, and nothing is stopped; 2 when no option names
    it; 3 when the file of playbooks does not hold, so that services may look at another one, or
    when the audit is not told.
    """
    turn(context, on=True, **given)

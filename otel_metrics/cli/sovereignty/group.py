"""`otel-metrics sovereignty`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["sovereignty"]

COMMANDS: Final = {
    "report": "Show the work done without a model, by layer and hour.",
    "rebuild": "Build the database anew from the archive.",
}
"""Every command with its summary; `otel_metrics.cli.sovereignty.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.sovereignty", summaries=COMMANDS)
def sovereignty() -> None:
    """Report on work with and without a model, and rebuild its database."""

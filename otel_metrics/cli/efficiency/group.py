"""`otel-metrics efficiency`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["efficiency"]

COMMANDS: Final = {
    "backtest": "Compare plans with what the efficiency did after them.",
}
"""Every command with its summary; `otel_metrics.cli.efficiency.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.efficiency", summaries=COMMANDS)
def efficiency() -> None:
    """Ask an archive what became of the efficiency."""

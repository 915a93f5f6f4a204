"""`otel-metrics budgets`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["budgets"]

COMMANDS: Final = {
    "list": "Say how every budget stands.",
    "set": "Add a budget, change it or remove it.",
}
"""Every command with its summary; `otel_metrics.cli.budgets.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.budgets", summaries=COMMANDS)
def budgets() -> None:
    """See and set what tenants, skills and agents may spend."""

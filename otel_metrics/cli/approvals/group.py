"""`otel-metrics approvals`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["approvals"]

COMMANDS: Final = {
    "list": "List the approvals that are asked for.",
    "show": "Say exactly what an approval is for, and what became of it.",
    "approve": "Let what is asked for run, once.",
    "reject": "Refuse what is asked for.",
}
"""Every command with its summary; `otel_metrics.cli.approvals.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.approvals", summaries=COMMANDS)
def approvals() -> None:
    """Decide about playbooks that need a person's approval."""

"""`otel-metrics skills`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["skills"]

COMMANDS: Final = {
    "list": "List the skills with the state of each.",
    "status": "Say how a skill stands at each gate.",
    "promote": "Promote a skill to the next state.",
    "rollback": "Return a skill from production to staged.",
    "demote": "Return a skill from staged to prototype.",
    "import": "Take a folder of skill files into an archive.",
}
"""Every command with its summary; `otel_metrics.cli.skills.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.skills", summaries=COMMANDS)
def skills() -> None:
    """See what skills come to, and move them between their states."""

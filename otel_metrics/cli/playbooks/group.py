"""`otel-metrics playbooks`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["playbooks"]

COMMANDS: Final = {
    "list": "List the playbooks, what is bound to them, and when they last ran.",
    "plan": "Say what a playbook would do, and what policy and limits say.",
    "run": "Run a playbook.",
    "history": "Say what was run, or what the audit says of a run.",
    "stop": "Stop everything that runs, and let nothing run.",
    "resume": "Let playbooks run again.",
}
"""Every command with its summary; `otel_metrics.cli.playbooks.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.playbooks", summaries=COMMANDS)
def playbooks() -> None:
    """See what can be done about a metric out of its band, do it, and stop it."""

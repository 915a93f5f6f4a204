"""`otel-metrics executions`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["executions"]

COMMANDS: Final = {
    "record": "Record a run of an agent.",
    "list": "List the agents with what their runs come to.",
    "show": "Say what the runs of an agent come to.",
    "export": "Write the records of runs in a form that other tools read.",
    "publish": "Publish the events that wait.",
    "prune": "Remove old records.",
}
"""Every command with its summary; `otel_metrics.cli.executions.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.executions", summaries=COMMANDS)
def executions() -> None:
    """Record what runs of agents came to, and see what they come to together.

    They are files of a project: .kaizen/metrics/AGENT/executions.jsonl, and summary.json beside it.
    """

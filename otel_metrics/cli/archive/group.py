"""`otel-metrics archive`: the group; a command is loaded when it is called."""

from typing import Final

import click

from otel_metrics.cli.lazy import LazyGroup

__all__ = ["archive"]

COMMANDS: Final = {
    "ls": "List the segments.",
    "cat": "Print points and events.",
    "tail": "Print the newest points and events, and follow.",
    "query": "Answer a question in SQL.",
    "plot": "Draw a metric as a line.",
    "export": "Write points and events to a file that other tools read.",
    "replay": "Send points and events to an OTLP endpoint.",
    "verify": "Check that nothing was changed and nothing is missing.",
    "checkpoint": "Write down what there is, to verify against it later.",
    "repair": "Seal and compress what dead writers left.",
    "prune": "Remove the oldest sealed segments.",
    "keygen": "Make a key that seals are signed with.",
    "erase": "Erase the records about somebody.",
}
"""Every command with its summary; `otel_metrics.cli.archive.<command>` holds it."""


@click.group(cls=LazyGroup, package="otel_metrics.cli.archive", summaries=COMMANDS)
def archive() -> None:
    """Look into an archive, check it, mend it and take it elsewhere."""

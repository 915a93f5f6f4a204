"""`otel-metrics executions show`: what the runs of one agent come to."""

import json

import click

from otel_metrics.cli import formats
from otel_metrics.cli.executions import figures
from otel_metrics.cli.executions.options import chosen, open_files, project_option, tell_skipped

__all__ = ["show"]


@click.command()
@click.argument("agent")
@project_option
@formats.option
@click.pass_context
def show(context: click.Context, *, agent: str, project: str, form: str) -> None:
    """Say what the runs of AGENT come to: count, means, and where they go.

    A trend compares the last 10 runs with the 10 before; a difference below 0.05 is stable. The
    figures are those of executions.jsonl: a summary.json that says otherwise is put right. As JSON
    it is what summary.json holds.

    Exit status 1 when the agent has no executions, 2 when the project's folder is not there.
    """
    files = open_files(context, project)
    chosen(context, files, [agent])
    tally = files.folder.tally(agent)
    summary = tally.summary()
    if form == "json":
        text = json.dumps(summary, indent=2)
    elif form == "table":
        people = figures.for_people(agent, summary)
        width = max(map(len, people))
        text = "\n".join(f"{key.ljust(width)}  {value}" for key, value in people.items())
    else:
        text = formats.formatted([figures.row(agent, summary)], form, columns=figures.COLUMNS)
    click.echo(formats.printable(text))
    tell_skipped(agent, tally.skipped)
    files.close()

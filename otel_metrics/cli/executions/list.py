"""`otel-metrics executions list`: the agents of a project."""

import click

from otel_metrics.cli import formats
from otel_metrics.cli.archive.tables import print_table
from otel_metrics.cli.executions import figures
from otel_metrics.cli.executions.options import open_files, project_option, tell_none, tell_skipped

__all__ = ["list"]

_RIGHT = frozenset({"executions", "success_rate", "quality", "time_s"})


@click.command()
@project_option
@formats.option
@click.pass_context
def list(context: click.Context, *, project: str, form: str) -> None:  # noqa: A001  # its name
    """List the agents of a project with what their runs come to.

    None is no error: a line says so, with status 0. Exit status 2 when the project's folder is not
    there.
    """
    files = open_files(context, project)
    tallies = [(agent, files.folder.tally(agent)) for agent in files.agents()]
    files.close()
    if not tallies:
        tell_none(files)
    if form == "table":
        if tallies:
            people = [figures.for_people(agent, tally.summary()) for agent, tally in tallies]
            print_table(people, figures.COLUMNS, right=_RIGHT)
    else:
        rows = [figures.row(agent, tally.summary()) for agent, tally in tallies]
        click.echo(formats.printable(formats.formatted(rows, form, columns=figures.COLUMNS)))
    for agent, tally in tallies:
        tell_skipped(agent, tally.skipped)

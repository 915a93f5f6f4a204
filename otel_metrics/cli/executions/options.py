"""What the executions commands share: the project, the agents, and how a command ends."""

import os
from collections.abc import Sequence
from typing import Final, NoReturn

import click
from click.core import ParameterSource

from otel_exporter_ndjson.settings import duration
from otel_metrics.cli import formats
from otel_metrics.cli.matching import suggestion
from otel_metrics.executions import ExecutionFiles
from otel_metrics.line_files import BadLine

__all__ = [
    "EXIT_NO",
    "EXIT_PARTLY",
    "EXIT_WRONG",
    "age",
    "chosen",
    "counted",
    "end",
    "open_files",
    "project_option",
    "say",
    "tell_bad",
]

PROJECT_VARIABLE: Final = "OTEL_PYTHON_METRICS_EXECUTIONS_DIR"
SLUG_VARIABLE: Final = "KAIZEN_PROJECT_SLUG"
EXIT_NO: Final = 1
EXIT_WRONG: Final = 2
EXIT_PARTLY: Final = 3
TOLD_MAX: Final = 20
"""Lines of one file that are told one by one; the rest are counted."""

project_option: Final = click.option(
    "--project",
    type=click.Path(),
    envvar=PROJECT_VARIABLE,
    default=".",
    help=f"The project's folder. Default: {PROJECT_VARIABLE}, then the current folder.",
)
"""The option `--project`."""


def open_files(context: click.Context, project: str) -> ExecutionFiles:
    """Return the files of a project; end where there is no such folder."""
    folder = os.path.expanduser(project)
    if not os.path.isdir(folder):
        given = context.get_parameter_source("project") is ParameterSource.ENVIRONMENT
        named = PROJECT_VARIABLE if given else "--project"
        end(context, f"{named}={project}: is no folder; make it first", EXIT_WRONG)
    return ExecutionFiles(folder, project=os.environ.get(SLUG_VARIABLE))


def chosen(context: click.Context, files: ExecutionFiles, agents: Sequence[str]) -> list[str]:
    """Return the agents that are asked for, all where none is; end where one has no file."""
    there = files.agents()
    for agent in agents:
        if agent not in there:
            end(context, f"{agent}: has no executions here{suggestion(agent, there)}", EXIT_NO)
    return list(dict.fromkeys(agents)) or there


def age(context: click.Context, option: click.Parameter, text: str) -> float:
    """Read how old something is, in seconds; a number without a unit is refused."""
    try:
        if text.strip().replace(".", "", 1).isdigit():
            raise ValueError(f"{text} has no unit; give 180d or 12h")
        return duration()(text)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(2, "event")
    '2 events'
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def tell_bad(agent: str, bad: Sequence[BadLine]) -> None:
    """Say which lines of an agent's file were skipped."""
    for line in bad[:TOLD_MAX]:
        say(f"{agent}: line {line.number} of executions.jsonl is skipped: {line.message}")
    if len(bad) > TOLD_MAX:
        say(f"{agent}: {len(bad) - TOLD_MAX} more lines are skipped")


def say(message: str) -> None:
    """Write one line to the error stream."""
    click.echo(formats.printable(message).replace("\n", "\\n"), err=True)


def end(context: click.Context, message: str, status: int) -> NoReturn:
    """End with a message and a status."""
    say(message)
    context.exit(status)

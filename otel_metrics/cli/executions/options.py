"""What the executions commands share: the project, the agents, and how a command ends."""

import os
from collections.abc import Sequence
from typing import Final, NoReturn

import click
from click.core import ParameterSource

from otel_metrics.cli import formats
from otel_metrics.cli.matching import suggestion
from otel_metrics.executions import ExecutionFiles
from otel_metrics.line_files import BadLine
from otel_metrics.plurals import counted

__all__ = [
    "EXIT_NO",
    "EXIT_PARTLY",
    "EXIT_WRONG",
    "chosen",
    "end",
    "open_files",
    "project_option",
    "say",
    "tell_bad",
    "tell_none",
    "tell_skipped",
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
    if not there:
        tell_none(files)
    return list(dict.fromkeys(agents)) or there


def tell_none(files: ExecutionFiles) -> None:
    """Say that a project has no executions, which is no error."""
    say(f"{files.path}: no agent has executions here")


def tell_bad(agent: str, bad: Sequence[BadLine]) -> None:
    """Say which lines of an agent's file were skipped."""
    for line in bad[:TOLD_MAX]:
        say(f"{agent}: line {line.number} of executions.jsonl is skipped: {line.message}")
    if len(bad) > TOLD_MAX:
        more = counted(len(bad) - TOLD_MAX, "more line")
        say(f"{agent}: {more} of executions.jsonl skipped")


def tell_skipped(agent: str, lines: int) -> None:
    """Say how many lines of an agent's file are left out of its figures, where any are."""
    if lines:
        are = "is no record" if lines == 1 else "are no records"
        of = f"{counted(lines, 'line')} of executions.jsonl"
        say(f"{agent}: {of} {are}; otel-metrics executions export says which")


def say(message: str) -> None:
    """Write one line to the error stream."""
    click.echo(formats.printable(message).replace("\n", "\\n"), err=True)


def end(context: click.Context, message: str, status: int) -> NoReturn:
    """End with a message and a status."""
    say(message)
    context.exit(status)

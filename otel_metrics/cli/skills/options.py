"""What the commands about skills share: options, and ending where they are used wrongly."""

import os
from typing import Final, NoReturn

import click
from click.core import ParameterSource

from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_WRONG
from otel_metrics.skills import threshold_files
from otel_metrics.skills.threshold_files import ThresholdFile
from otel_metrics.yaml_source import YamlSourceError

__all__ = [
    "SKILLS_VARIABLE",
    "approver_option",
    "end",
    "is_typed",
    "owner_option",
    "said",
    "skills_dir_option",
    "thresholds",
    "thresholds_option",
    "ticket_option",
]

SKILLS_VARIABLE: Final = "OTEL_PYTHON_METRICS_SKILLS_DIR"


def _expanded(_context: click.Context, _option: click.Parameter, path: str | None) -> str | None:
    return os.path.expanduser(path) if path else None


def said(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Return a text without blanks around it; refuse one that is empty."""
    if not text.strip():
        raise click.BadParameter("is empty; a decision says who made it, and where that is written")
    return text.strip()


skills_dir_option: Final = click.option(
    "--skills-dir",
    type=click.Path(),
    callback=_expanded,
    envvar=SKILLS_VARIABLE,
    help=f"The folder of skill files. Default: {SKILLS_VARIABLE}.",
)
"""The option `--skills-dir`, None where there is none."""
thresholds_option: Final = click.option(
    "--thresholds",
    "thresholds_file",
    type=click.Path(),
    callback=_expanded,
    help=f"A YAML file of thresholds. Default: {threshold_files.FILE_NAME} in the folder of skill "
    "files, where it is there.",
)
"""The option `--thresholds`, handed to the command as `thresholds_file`."""
approver_option: Final = click.option(
    "--approver", required=True, callback=said, help="Who approves."
)
ticket_option: Final = click.option(
    "--ticket", required=True, callback=said, help="Where the approval is written down."
)
owner_option: Final = click.option(
    "--service",
    help="Whose event a decision becomes in the archive. Default: OTEL_SERVICE_NAME, then the one "
    "service that the archive is of.",
)
"""The option `--service` of a command that decides."""


def thresholds(context: click.Context, given: str | None, folder: str | None) -> ThresholdFile:
    """Return the thresholds of all skills; end where the file does not hold."""
    if given is None:
        if folder is None:
            return ThresholdFile()
        given = os.path.join(folder, threshold_files.FILE_NAME)
        if not os.path.lexists(given):
            return ThresholdFile()
    try:
        return threshold_files.load(given)
    except YamlSourceError as error:
        typed = "--thresholds=" if is_typed(context, "thresholds_file") else ""
        end(context, "\n".join(f"{typed}{problem}" for problem in error.problems), EXIT_WRONG)


def is_typed(context: click.Context, name: str) -> bool:
    """Tell whether a parameter was given on the command line."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def end(context: click.Context, message: str, status: int) -> NoReturn:
    """End with a line on the error stream."""
    click.echo(formats.printable(message), err=True)
    context.exit(status)

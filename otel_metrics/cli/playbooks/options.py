"""What the commands about playbooks and approvals share: options, and the files that they name."""

import os
from typing import Final, NoReturn

import click
from click.core import ParameterSource

from otel_exporter_prometheus import naming
from otel_metrics.catalog.loader import InvalidCatalogError, builtin, load
from otel_metrics.catalog.model import Catalog
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_NO, EXIT_PARTLY, EXIT_WRONG
from otel_metrics.remediation import configuration
from otel_metrics.remediation.actors import is_reserved
from otel_metrics.remediation.model import Configuration

__all__ = [
    "DB_VARIABLE",
    "EXIT_NO",
    "EXIT_PARTLY",
    "EXIT_WRONG",
    "PLAYBOOKS_VARIABLE",
    "actor_option",
    "catalog_in_force",
    "configured",
    "db_option",
    "end",
    "ledger_file",
    "named",
    "playbooks_option",
    "reason_option",
    "say",
    "stop_file",
]

PLAYBOOKS_VARIABLE: Final = "OTEL_PYTHON_METRICS_PLAYBOOKS"
DB_VARIABLE: Final = "OTEL_PYTHON_METRICS_REMEDIATION_DB"
CATALOG_VARIABLE: Final = "OTEL_PYTHON_METRICS_CATALOG"
_SQLITE: Final = b"SQLite format 3\x00"


def _expanded(_context: click.Context, _option: click.Parameter, path: str | None) -> str | None:
    return os.path.expanduser(path) if path else None


def _said(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.BadParameter("is empty; the audit says who does this, and why")
    return text.strip()


def _name(context: click.Context, option: click.Parameter, text: str) -> str:
    name = _said(context, option, text)
    if is_reserved(name):
        raise click.BadParameter(f"{name!r} is what the audit calls no person; give your name")
    return name


playbooks_option: Final = click.option(
    "--playbooks",
    "file",
    type=click.Path(),
    callback=_expanded,
    envvar=PLAYBOOKS_VARIABLE,
    help=f"The file that binds playbooks to actions. Default: {PLAYBOOKS_VARIABLE}.",
)
"""The option `--playbooks`, handed to the command as `file`."""
db_option: Final = click.option(
    "--remediation-db",
    "db",
    type=click.Path(),
    callback=_expanded,
    envvar=DB_VARIABLE,
    help=f"The ledger of runs and approvals. Default: {DB_VARIABLE}.",
)
"""The option `--remediation-db`, handed to the command as `db`."""
actor_option: Final = click.option(
    "--actor", required=True, callback=_name, help="Who does this: your name."
)
reason_option: Final = click.option(
    "--reason", required=True, callback=_said, help="Why; the audit keeps it."
)


def catalog_in_force(context: click.Context) -> Catalog:
    """Return the catalog with the user's file, where one is named; end where it does not hold."""
    file = os.environ.get(CATALOG_VARIABLE)
    if not file:
        return builtin()
    try:
        return load(
            os.path.expanduser(file),
            into=builtin(),
            name_of=naming.metric_name,
            problem_of=naming.problem,
        )
    except InvalidCatalogError as error:
        end(context, "\n".join(map(str, error.problems)), EXIT_WRONG)


def configured(
    context: click.Context, file: str | None, db: str | None, catalog: Catalog
) -> Configuration | None:
    """Return what the operator's file says, None where none is named; end where it does not
    hold."""
    if file is None:
        return None
    try:
        return configuration.read(
            file,
            playbooks=catalog.playbooks,
            metrics=catalog.metrics,
            stop_file=stop_file(db),
            ledger_folder=os.path.dirname(stop_file(db)),
        )
    except configuration.ConfigurationProblems as error:
        end(context, "\n".join(map(str, error.problems)), EXIT_WRONG)


def stop_file(db: str | None) -> str:
    """Return the kill switch of a ledger, which holds where the file of playbooks names none."""
    return f"{os.path.abspath(db)}.stop" if db else ""


def ledger_file(context: click.Context, db: str | None, *, make: bool = False) -> str:
    """Return the path of the ledger; end where none is named, or there is none there.

    A file that is no database is left alone: a ledger would take it for a damaged one.

    Args:
        make: whether one is made where there is none.
    """
    if db is None:
        message = f"--remediation-db: is not given; give its file, or set {DB_VARIABLE}"
        end(context, message, EXIT_WRONG)
    remedy = "give the file that a service uses"
    try:
        with open(db, "rb") as file:
            beginning = file.read(len(_SQLITE))
    except FileNotFoundError:
        if not make:
            end(
                context, f"{named(context, 'db')}={db}: there is no such file; {remedy}", EXIT_WRONG
            )
    except OSError as error:
        end(context, f"{named(context, 'db')}={db}: {error.strerror}; {remedy}", EXIT_WRONG)
    else:
        if beginning not in (b"", _SQLITE):
            message = f"{named(context, 'db')}={db}: is no SQLite database; {remedy}"
            end(context, message, EXIT_WRONG)
    return db


def named(context: click.Context, parameter: str) -> str:
    """Return by which option or variable a file was given."""
    option, variable = _NAMES[parameter]
    is_variable = context.get_parameter_source(parameter) is ParameterSource.ENVIRONMENT
    return variable if is_variable else option


def say(message: str) -> None:
    """Write a line to the error stream."""
    click.echo(formats.printable(message), err=True)


def end(context: click.Context, message: str, status: int) -> NoReturn:
    """End with a message on the error stream."""
    say(message)
    context.exit(status)


_NAMES: Final[dict[str, tuple[str, str]]] = {
    "file": ("--playbooks", PLAYBOOKS_VARIABLE),
    "db": ("--remediation-db", DB_VARIABLE),
}

"""What the budget commands share: the option `--db`, and the ledger that it names."""

import os
from typing import Final, NoReturn

import click
from click.core import ParameterSource

from otel_metrics.budgets import BudgetLedger, Standing
from otel_metrics.budgets.units import counted, figure
from otel_metrics.cli import formats

__all__ = [
    "EXIT_NO",
    "EXIT_PARTLY",
    "EXIT_WRONG",
    "amount",
    "db_option",
    "end",
    "ledger_at",
    "refuse",
    "tell_damage",
]

VARIABLE: Final = "OTEL_PYTHON_METRICS_BUDGETS_DB"
EXIT_NO: Final = 1
EXIT_WRONG: Final = 2
EXIT_PARTLY: Final = 3
_HEADER: Final = b"SQLite format 3\x00"

db_option: Final = click.option(
    "--db",
    "path",
    type=click.Path(),
    envvar=VARIABLE,
    help=f"The ledger's file. Default: {VARIABLE}.",
)
"""The option `--db`, handed to the command as `path`."""


def ledger_at(context: click.Context, path: str | None, *, make: bool) -> BudgetLedger:
    """Return the ledger of `--db`; end where there is none.

    Args:
        make: whether one is made where there is none, once it is used.

    A file that is no database is left alone: a ledger would take it for a damaged one.
    """
    if not path:
        end(context, f"--db: no ledger is named; give its file, or set {VARIABLE}", EXIT_WRONG)
    path = os.path.expanduser(path)
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(_HEADER))
    except FileNotFoundError:
        if not make:
            remedy = "give the file that a service uses, or make one with budgets set"
            refuse(context, path, f"there is no such file; {remedy}", EXIT_WRONG)
    except OSError as error:
        refuse(context, path, f"{error.strerror}; give the file that a service uses", EXIT_WRONG)
    else:
        if beginning not in (b"", _HEADER):
            refuse(context, path, "is no SQLite database; give the file of a ledger", EXIT_WRONG)
    return BudgetLedger(path)


def refuse(context: click.Context, path: str, message: str, status: int) -> NoReturn:
    """End because of the ledger that was given, naming the setting that it came from."""
    given = context.get_parameter_source("path") is ParameterSource.ENVIRONMENT
    end(context, f"{VARIABLE if given else '--db'}={path}: {message}", status)


def tell_damage(ledger: BudgetLedger) -> bool:
    """Say that a damaged ledger lies beside this one, where that is so, and nothing is allowed."""
    aside = ledger.damaged
    if aside is not None:
        message = (
            f"{ledger.path}: was damaged and lies at {aside}; every spend is refused until a copy "
            "is put back, or the budgets are set anew and the damaged one is moved away"
        )
        click.echo(formats.printable(message), err=True)
    return aside is not None


def amount(standing: Standing, field: str) -> str:
    """Return one amount of a budget for people, without its unit; none is empty."""
    value = getattr(standing, field)
    if value is None:
        return ""
    return figure(counted(value, standing.unit, named=field), standing.unit)


def end(context: click.Context, message: str, status: int) -> NoReturn:
    """End with a line on the error stream."""
    click.echo(formats.printable(message.replace("\n", "\\n")), err=True)
    context.exit(status)

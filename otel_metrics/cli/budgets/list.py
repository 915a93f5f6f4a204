"""`otel-metrics budgets list`: how every budget stands."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import click

from otel_metrics.budgets import BudgetUnavailable, Standing
from otel_metrics.cli import formats
from otel_metrics.cli.archive.tables import print_table
from otel_metrics.cli.budgets.options import (
    EXIT_NO,
    EXIT_PARTLY,
    amount,
    db_option,
    ledger_at,
    refuse,
    tell_damage,
)

__all__ = ["list"]

_AMOUNTS: Final = ("limit", "soft_limit", "used", "reserved", "remaining")
_COLUMNS: Final = ("name", "scope", "unit", "period", *_AMOUNTS, "refusals", "resets_at")


@click.command()
@db_option
@formats.option
@click.pass_context
def list(context: click.Context, *, path: str | None, form: str) -> None:  # noqa: A001  # its name
    """Say how every budget stands in its period: limit, used, reserved, remaining, refusals.

    A budget that each tenant, skill or agent has to itself (*) stands there, and once more, as
    NAME/SUBJECT, for each that spent in the period. Times are UTC.

    Exit status 1 when the ledger cannot be read; 2 when it is not there, or is none; 3 when a
    damaged one lies beside it.
    """
    ledger = ledger_at(context, path, make=False)
    try:
        standings = ledger.list()
    except BudgetUnavailable as error:
        refuse(context, ledger.path, str(error), EXIT_NO)
    finally:
        ledger.close()
    if not standings:
        message = f"{ledger.path}: holds no budget; otel-metrics budgets set adds one"
        click.echo(formats.printable(message), err=True)
    if form == "table" and standings:
        shown = [_shown(each) for each in standings]
        print_table(shown, _COLUMNS, right=(*_AMOUNTS, "refusals"))
    elif form != "table":
        rows = [_row(each) for each in standings]
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    context.exit(EXIT_PARTLY if tell_damage(ledger) else 0)


def _shown(standing: Standing) -> Mapping[str, Any]:
    """Return a row for people."""
    whose = f"{standing.scope} {standing.subject}" if standing.subject else standing.scope
    texts = {field: amount(standing, field) for field in _AMOUNTS}
    resets = f"{standing.resets_at:%Y-%m-%d %H:%M}"
    return {**asdict(standing), **texts, "scope": whose, "resets_at": resets}


def _row(standing: Standing) -> Mapping[str, Any]:
    return {key: _plain(value) for key, value in asdict(standing).items()}


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value

"""`otel-metrics budgets set`: add a budget, change it or remove it."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from otel_metrics.budgets import BudgetLedger, BudgetUnavailable, Standing
from otel_metrics.budgets.arguments import word
from otel_metrics.budgets.limits import EACH, PERIODS
from otel_metrics.budgets.units import UNITS, Unit, parsed, public
from otel_metrics.cli import formats
from otel_metrics.cli.budgets.options import (
    EXIT_NO,
    EXIT_WRONG,
    amount,
    db_option,
    ledger_at,
    refuse,
    tell_damage,
)
from otel_metrics.cli.matching import suggestion

__all__ = ["set"]

NONE: Final = "none"
"""What takes a soft limit away."""


def _one_of(known: Sequence[str]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def read(context: click.Context, option: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else word(option.opts[0], text, known)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return read


@click.command()
@click.argument("name")
@db_option
@click.option("--limit", help="What may be spent in a period: 1.5M, 200k, 1500000; 5.00 in USD.")
@click.option("--unit", callback=_one_of(UNITS), help="tokens (the default) or USD.")
@click.option("--period", callback=_one_of(PERIODS), help="hour, day (the default) or month, UTC.")
@click.option("--soft", help="Warn, once a period, when more than this is used; none: never.")
@click.option("--tenant", help="Whose spends count; * for each tenant as much to itself.")
@click.option("--skill", help="As --tenant, of a skill.")
@click.option("--agent", help="As --tenant, of an agent. Without any of these, every spend counts.")
@click.option("--remove", is_flag=True, help="Remove the budget; what was spent stays booked.")
@click.pass_context
def set(  # noqa: A001  # its name
    context: click.Context, /, *, name: str, path: str | None, remove: bool, **given: Any
) -> None:
    """Add the budget NAME, change it or remove it.

    Of one that is there, what is not given stays as it is. A changed limit keeps what is used; one
    that changes its unit, its period or whose it is counts what was spent in the running period.
    Services see it with their next spend.

    Exit status 1 when there is no such budget to remove or the ledger cannot be written, 2 for a
    wrong option.
    """
    if remove and any(value is not None for value in given.values()):
        raise click.UsageError("--remove takes no other option than --db", context)
    ledger = ledger_at(context, path, make=not remove)
    try:
        if remove:
            _remove(context, ledger, name)
        else:
            _define(context, ledger, name, **given)
    except BudgetUnavailable as error:
        refuse(context, ledger.path, str(error), EXIT_NO)
    finally:
        ledger.close()
    tell_damage(ledger)


def _remove(context: click.Context, ledger: BudgetLedger, name: str) -> None:
    if ledger.remove(name):
        click.echo(formats.printable(f"budget {name} is removed"))
        return
    known = [each.name for each in _definitions(ledger)]
    message = f"{name}: there is no such budget{suggestion(name, known)}"
    click.echo(formats.printable(message), err=True)
    context.exit(EXIT_NO)


def _define(
    context: click.Context,
    ledger: BudgetLedger,
    name: str,
    *,
    limit: str | None,
    unit: Unit | None,
    period: Any,
    soft: str | None,
    **whose: str | None,
) -> None:
    old = next((each for each in _definitions(ledger) if each.name == name), None)
    same_unit = old is not None and unit in (None, old.unit)
    if limit is None and not same_unit:
        what = f"{name} is new" if old is None else "--unit is changed"
        raise click.UsageError(f"{what}: give --limit, such as 1.5M or 5.00", context)
    unit = unit or (old.unit if old else "tokens")
    if old is not None and not any(whose.values()) and old.scope != "global":
        whose = {old.scope: old.subject}
    try:
        kept_soft = old.soft_limit if old is not None and same_unit else None
        ledger.define(
            name,
            old.limit if limit is None and old else _amount("--limit", limit or "", unit),
            unit=unit,
            period=period or (old.period if old else "day"),
            soft_limit=kept_soft if soft is None else _soft(soft, unit),
            **whose,
        )
    except ValueError as error:
        click.echo(formats.printable(str(error)), err=True)
        context.exit(EXIT_WRONG)
    new = next(each for each in _definitions(ledger) if each.name == name)
    click.echo(formats.printable(_told(new)))


def _definitions(ledger: BudgetLedger) -> Sequence[Standing]:
    """Return the budgets themselves, without what subjects used of those of each."""
    return [each for each in ledger.list() if each.subject == EACH or "/" not in each.name]


def _amount(option: str, text: str, unit: Unit) -> Any:
    try:
        return public(parsed(text, unit), unit)
    except ValueError as error:
        raise ValueError(f"{option}={error}") from None


def _soft(text: str, unit: Unit) -> Any:
    return None if text.lower() == NONE else _amount("--soft", text, unit)


def _told(standing: Standing) -> str:
    """Say in a line what holds now."""
    each = standing.subject == EACH
    of = f"each {standing.scope}" if each else f"{standing.scope} {standing.subject}".strip()
    soft = "" if standing.soft_limit is None else f", soft limit {amount(standing, 'soft_limit')}"
    used = "" if each else f"; {amount(standing, 'used')} used"
    return (
        f"budget {standing.name}: {of}, {amount(standing, 'limit')} {standing.unit} a "
        f"{standing.period}{soft}{used}"
    )

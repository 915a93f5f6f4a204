"""`otel-metrics budgets set`: add a budget, change it or remove it."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from otel_metrics.budgets import BudgetLedger, BudgetUnavailable, Standing
from otel_metrics.budgets.arguments import budget_of, word
from otel_metrics.budgets.limits import EACH, PERIODS
from otel_metrics.budgets.units import UNITS, Unit, parsed, public
from otel_metrics.cli import formats
from otel_metrics.cli.budgets.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    amount,
    db_option,
    end,
    ledger_at,
    refuse,
    tell_damage,
)
from otel_metrics.cli.matching import suggestion
from otel_metrics.cli.wrong_use import as_typed, unknown

__all__ = ["set"]

NONE: Final = "none"
"""What takes a soft limit away."""


SCOPES: Final = ("tenant", "skill", "agent")
OPTIONS: Final[Mapping[str, str]] = {
    "name": "NAME",
    "limit": "--limit",
    "soft_limit": "--soft",
    **{scope: f"--{scope}" for scope in SCOPES},
}
"""How what a budget takes is given here."""
FIRST: Final = "tenant-daily"
"""The budget that a new ledger holds."""


def _one_of(known: Sequence[str]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def read(context: click.Context, option: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return word(option.opts[0], text, known)
        except ValueError:
            wrong = f"{text!r} {unknown(text, known)}"
            raise click.BadParameter(wrong, context, option) from None

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
    Services see it with their next spend. A ledger that is not there is made.

    Exit status 1 when there is no such budget to remove or the ledger cannot be written, 2 for a
    wrong option or, with --remove, a ledger that is not there; 3 when a damaged one lies beside it.
    """
    typed = [f"--{option}" for option, value in given.items() if value is not None]
    if remove and typed:
        end(context, f"--remove: takes no {typed[0]}; leave one of them out", EXIT_WRONG)
    ledger = ledger_at(context, path, make=not remove)
    try:
        if remove:
            _remove(context, ledger, name)
        else:
            _define(context, ledger, name, given)
    except BudgetUnavailable as error:
        refuse(context, ledger.path, str(error), EXIT_NO)
    finally:
        ledger.close()
    context.exit(EXIT_PARTLY if tell_damage(ledger) else 0)


def _remove(context: click.Context, ledger: BudgetLedger, name: str) -> None:
    if ledger.remove(name):
        click.echo(formats.printable(f"budget {name} is removed"))
        return
    known = [each.name for each in _definitions(ledger)]
    end(context, f"NAME={name}: there is no such budget{suggestion(name, known)}", EXIT_NO)


def _define(
    context: click.Context, ledger: BudgetLedger, name: str, given: Mapping[str, Any]
) -> None:
    is_new = not os.path.exists(ledger.path)
    if is_new and name != FIRST:
        _budget(context, None, name, given)  # what is wrong is told before a file is made
    old = next((each for each in _definitions(ledger) if each.name == name), None)
    ledger.define(name, **_budget(context, old, name, given))
    new = next(each for each in _definitions(ledger) if each.name == name)
    if is_new:
        click.echo(formats.printable(f"{ledger.path}: a new ledger is made"), err=True)
    click.echo(formats.printable(_told(new)))


def _budget(
    context: click.Context, old: Standing | None, name: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a budget is to be, by the arguments of `define`; end where it cannot be."""
    unit: Unit = given["unit"] or (old.unit if old else "tokens")
    same_unit = old is not None and unit == old.unit
    if given["limit"] is None and not same_unit:
        why = f"{name} is a new budget" if old is None else "--unit is changed"
        end(context, f"--limit: is missing, and {why}; give 1.5M or 5.00", EXIT_WRONG)
    budget = {
        "limit": _amount(context, "--limit", given["limit"], given["unit"], unit),
        "unit": unit,
        "period": given["period"] or (old.period if old else "day"),
        "soft_limit": _soft(context, given["soft"], given["unit"], unit),
        **_whose(context, old, given),
    }
    if old is not None and given["limit"] is None:
        budget["limit"] = old.limit
    if old is not None and given["soft"] is None and same_unit:
        budget["soft_limit"] = old.soft_limit
    try:
        budget_of(name, **budget)
    except ValueError as error:
        end(context, as_typed(str(error), OPTIONS), EXIT_WRONG)
    return budget


def _whose(
    context: click.Context, old: Standing | None, given: Mapping[str, Any]
) -> Mapping[str, str | None]:
    """Return whose a budget is to be, by scope; None for each where it is of every spend."""
    whose = {scope: given[scope] for scope in SCOPES}
    typed = [OPTIONS[scope] for scope, subject in whose.items() if subject is not None]
    if len(typed) > 1:
        options = ", ".join(typed)
        end(context, f"{options}: a budget is of one of them; give one", EXIT_WRONG)
    if old is not None and not typed and old.scope in SCOPES:
        return {**whose, old.scope: old.subject}
    return whose


def _definitions(ledger: BudgetLedger) -> Sequence[Standing]:
    """Return the budgets themselves, without what subjects used of those of each."""
    return [each for each in ledger.list() if each.subject == EACH or "/" not in each.name]


def _amount(
    context: click.Context, option: str, text: str | None, typed: Unit | None, unit: Unit
) -> Any:
    """Return an amount, None where none is given; dollars without their unit are told apart."""
    if text is None:
        return None
    try:
        return public(parsed(text, unit), unit)
    except ValueError as error:
        hint = "; or dollars, with --unit USD" if typed is None and _is_dollars(text) else ""
        raise click.BadParameter(f"{error}{hint}", context, param_hint=option) from None


def _is_dollars(text: str) -> bool:
    try:
        return parsed(text, "USD") >= 0
    except ValueError:
        return False


def _soft(context: click.Context, text: str | None, typed: Unit | None, unit: Unit) -> Any:
    none = text is None or text.lower() == NONE
    return None if none else _amount(context, "--soft", text, typed, unit)


def _told(standing: Standing) -> str:
    """Say in a line what holds now."""
    each = standing.subject == EACH
    of = f"each {standing.scope}" if each else f"{standing.scope} {standing.subject}".strip()
    limit = amount(standing, "limit")
    unit = "token" if (limit, standing.unit) == ("1", "tokens") else standing.unit
    soft = "" if standing.soft_limit is None else f", soft limit {amount(standing, 'soft_limit')}"
    used = "" if each else f"; {amount(standing, 'used')} used"
    return f"budget {standing.name}: {of}, {limit} {unit} a {standing.period}{soft}{used}"

"""What callers give, checked: budgets and charges. Pure; what is wrong is a `ValueError`."""

import difflib
from collections.abc import Sequence
from typing import Final, TypeVar

from otel_metrics import values
from otel_metrics.budgets.limits import EACH, GLOBAL, PERIODS, Budget, Charge, Period, Scope
from otel_metrics.budgets.units import UNITS, Unit, counted

__all__ = ["budget_of", "charge_of", "key_of", "word"]

NAME_CHARS_MAX: Final = 120
"""Characters of a budget's name."""
SUBJECT_CHARS_MAX: Final = 512
"""Characters of the name of a tenant, skill or agent, and of an idempotency key."""

W = TypeVar("W", bound=str)


def budget_of(
    name: str,
    limit: object,
    *,
    unit: Unit,
    period: Period,
    soft_limit: object,
    tenant: str | None,
    skill: str | None,
    agent: str | None,
) -> Budget:
    """Return the budget that is described, without an id.

    Raises:
        ValueError: an argument is not accepted.
    """
    unit = word("unit", unit, UNITS)
    scope, subject = _scope(tenant=tenant, skill=skill, agent=agent)
    hard = counted(limit, unit, named="limit")
    soft = None if soft_limit is None else counted(soft_limit, unit, named="soft_limit")
    if soft is not None and soft > hard:
        raise ValueError(f"soft_limit={soft_limit}: is above the limit; give at most {limit}")
    return Budget(
        id=0,
        name=_name(name),
        scope=scope,
        subject=subject,
        unit=unit,
        period=word("period", period, PERIODS),
        limit=hard,
        soft_limit=soft,
    )


def charge_of(
    tokens: object,
    usd: object,
    *,
    tenant: object = None,
    skill: object = None,
    agent: object = None,
) -> Charge:
    """Return what is to be spent.

    Raises:
        ValueError: an argument is not accepted, or neither amount is given.
    """
    if tokens is None and usd is None:
        raise ValueError("no amount is given; give tokens, usd or both")
    return Charge(
        None if tokens is None else counted(tokens, "tokens", named="tokens"),
        None if usd is None else counted(usd, "USD", named="usd"),
        _subject("tenant", tenant),
        _subject("skill", skill),
        _subject("agent", agent),
    )


def key_of(given: object) -> str | None:
    """Return an idempotency key.

    Raises:
        ValueError: it is no text, or too long.
    """
    return _text("idempotency_key", given)


def word(named: str, given: object, known: Sequence[W]) -> W:
    """Return one of the words that are known, however it is written.

    Raises:
        ValueError: it is none; the message says what was meant.
    """
    plain = values.label(given)
    for each in known:
        if isinstance(plain, str) and plain.lower() in (each.lower(), each.lower().rstrip("s")):
            return each
    near = difflib.get_close_matches(str(plain).lower(), [each.lower() for each in known], n=1)
    meant = [each for each in known if each.lower() in near]
    hint = f"; did you mean {meant[0]}?" if meant else ""
    raise ValueError(f"{named}={plain}: accepted is {', '.join(known)}{hint}")


def _scope(*, tenant: str | None, skill: str | None, agent: str | None) -> tuple[Scope, str]:
    whose: list[tuple[Scope, object]] = [("tenant", tenant), ("skill", skill), ("agent", agent)]
    given = [(scope, subject) for scope, subject in whose if subject is not None]
    if len(given) > 1:
        raise ValueError(
            f"{' and '.join(scope for scope, _ in given)} are given; a budget is of one of them, "
            "and a spend is checked against the budgets of all"
        )
    if not given:
        return "global", GLOBAL
    ((scope, subject),) = given
    return scope, EACH if subject == EACH else _subject(scope, subject) or GLOBAL


def _subject(named: str, given: object) -> str | None:
    taken = _text(named, given)
    if taken == EACH:
        raise ValueError(f"{named}={EACH}: stands for each in a budget; a spend is of one")
    return taken


def _text(named: str, given: object) -> str | None:
    if given is None:
        return None
    taken = values.label(given) if isinstance(given, str) else None
    if not isinstance(taken, str) or not taken or len(given) > SUBJECT_CHARS_MAX:  # type: ignore[arg-type]  # a text, as just seen
        raise ValueError(f"{named}: accepted is a text of 1 to {SUBJECT_CHARS_MAX} characters")
    return taken


def _name(given: object) -> str:
    if (
        isinstance(given, str)
        and 0 < len(given) <= NAME_CHARS_MAX
        and given.isprintable()
        and given == given.strip()
        and "/" not in given
    ):
        return given
    raise ValueError(
        f"name={str(values.label(given))[:NAME_CHARS_MAX]}: accepted is a printable text of 1 to "
        f"{NAME_CHARS_MAX} characters without /"
    )

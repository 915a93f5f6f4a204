"""Amounts without rounding: tokens are whole, dollars are whole billionths of a dollar.

Pure. Inside, an amount is an int in the smallest part of its unit; callers give and get `int` for
tokens and `Decimal` for USD.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Literal

from otel_metrics import values

__all__ = [
    "AMOUNT_MAX",
    "NANO",
    "UNITS",
    "Amount",
    "Unit",
    "counted",
    "figure",
    "parsed",
    "public",
    "shown",
]

Unit = Literal["tokens", "USD"]
UNITS: Final[tuple[Unit, ...]] = ("tokens", "USD")

Amount = int | float | Decimal
"""What callers may give."""

NANO: Final = 10**9
"""Parts of a dollar."""
AMOUNT_MAX: Final = 10**18
"""The largest amount, in the smallest part of its unit: far from the end of 64 bits, so that what
is used of a budget cannot pass it by any single step."""

_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_SUFFIXES: Final[Mapping[str, int]] = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def counted(value: object, unit: Unit, *, named: str) -> int:
    """Return what a caller gave in the smallest part of `unit`.

    Dollars finer than a billionth are rounded to the nearest: 0.1 + 0.2 is 0.3.

    Raises:
        ValueError: it is no amount; the message begins with `named`.
    """
    try:
        taken = _tokens(value) if unit == "tokens" else _nano_dollars(value)
    except values.RejectedValueError as error:
        raise ValueError(f"{named}={_told(value)}: accepted is {error.accepted}") from None
    if taken > AMOUNT_MAX:
        most = shown(AMOUNT_MAX, unit)
        raise ValueError(f"{named}={_told(value)}: accepted is at most {most}")
    return taken


def _tokens(value: object) -> int:
    return int(values.number(value, integer=True, negative=False))


def _nano_dollars(value: object) -> int:
    if not isinstance(value, Decimal):
        value = values.number(value, integer=type(value) is int, negative=False)
        value = Decimal(repr(value))  # as it is written: the float's own digits are not meant
    if not value.is_finite():
        raise values.RejectedValueError("not_finite", "a finite number")
    if value < 0:
        raise values.RejectedValueError("negative", "a number that is not below zero")
    if value > AMOUNT_MAX:  # before it becomes an int, which may take all memory
        return AMOUNT_MAX + 1
    return int(value.scaleb(9, _EXACT).to_integral_value(ROUND_HALF_EVEN))


def parsed(text: str, unit: Unit) -> int:
    """Return the amount that a person wrote: `1500000`, `1_500_000`, `1.5M`, `200k`; `5.00`.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"\$?(\d[\d_]*(?:\.\d+)?)([kKmMgGbB]?)", text.strip())
    if found is None or (text.strip().startswith("$") and unit != "USD"):
        raise ValueError(f"{text!r} is no amount of {unit}; accepted is {_examples(unit)}")
    plain = Decimal(found[1].replace("_", "")) * _SUFFIXES[found[2].lower()]
    if unit == "tokens" and plain != plain.to_integral_value():
        raise ValueError(f"{text!r} is no whole number of tokens; accepted is {_examples(unit)}")
    if plain * (NANO if unit == "USD" else 1) > AMOUNT_MAX:
        raise ValueError(f"{text!r} is too much; accepted is at most {shown(AMOUNT_MAX, unit)}")
    return counted(int(plain) if unit == "tokens" else plain, unit, named="amount")


def public(amount: int, unit: Unit) -> int | Decimal:
    """Return an amount as callers get it."""
    return amount if unit == "tokens" else Decimal(amount).scaleb(-9, _EXACT).normalize(_EXACT)


def shown(amount: int, unit: Unit) -> str:
    """Return an amount for people: `1,500,000 tokens`, `5.00 USD`."""
    return f"{figure(amount, unit)} {unit}"


def figure(amount: int, unit: Unit) -> str:
    """Return an amount for people, without its unit: `1,500,000`, `5.00`."""
    if unit == "tokens":
        return f"{amount:,}"
    whole, parts = divmod(amount, NANO)
    cents = f"{parts:09d}".rstrip("0").ljust(2, "0")
    return f"{whole:,}.{cents}"


def _examples(unit: Unit) -> str:
    return "1500000 or 1.5M" if unit == "tokens" else "5.00"


def _told(value: object) -> str:
    return str(values.label(value))[:64]

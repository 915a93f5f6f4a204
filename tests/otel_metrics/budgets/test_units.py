"""Amounts: what is given, what is kept, what is shown."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.budgets.units import NANO, Unit, counted, parsed, public, shown


@pytest.mark.parametrize(
    ("value", "unit", "kept"),
    [
        (4000, "tokens", 4000),
        (4000.0, "tokens", 4000),
        (Decimal(7), "tokens", 7),
        (5, "USD", 5 * NANO),
        (0.1 + 0.2, "USD", 300_000_000),
        (Decimal("0.000000001"), "USD", 1),
        (Decimal("0.0000000005"), "USD", 0),
        (Decimal("1e-400"), "USD", 0),
        (Fraction(1, 4), "USD", 250_000_000),
        (0, "tokens", 0),
    ],
)
def test_what_is_an_amount(value: object, unit: Unit, kept: int) -> None:
    """Numbers of any kind; a float means what it is written as."""
    assert counted(value, unit, named="amount") == kept


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1.5, "tokens", "a whole number"),
        (-1, "tokens", "not below zero"),
        (-0.01, "USD", "not below zero"),
        (Decimal("-1"), "USD", "not below zero"),
        (True, "tokens", "not a bool"),
        ("5", "USD", "an int or a float"),
        (None, "tokens", "an int or a float"),
        (float("nan"), "USD", "finite"),
        (Decimal("NaN"), "USD", "finite"),
        (Decimal("Infinity"), "USD", "finite"),
        (10**19, "tokens", "64 bits"),
        (10**18 + 1, "tokens", "at most 1,000,000,000,000,000,000 tokens"),
        (Decimal("1e999999"), "USD", "at most 1,000,000,000.00 USD"),
    ],
)
def test_what_is_none(value: object, unit: Unit, said: str) -> None:
    """The message names the argument and says what is accepted."""
    with pytest.raises(ValueError, match=r"^limit=.*accepted is ") as raised:
        counted(value, unit, named="limit")

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "unit", "kept"),
    [
        ("1500000", "tokens", 1_500_000),
        ("1_500_000", "tokens", 1_500_000),
        ("1.5M", "tokens", 1_500_000),
        ("200k", "tokens", 200_000),
        ("2G", "tokens", 2_000_000_000),
        ("5.00", "USD", 5 * NANO),
        ("$0.25", "USD", NANO // 4),
        (" 1.5k ", "USD", 1500 * NANO),
    ],
)
def test_what_people_write(text: str, unit: Unit, kept: int) -> None:
    """With a suffix for thousands, millions and billions."""
    assert parsed(text, unit) == kept


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        *(("", "tokens"), ("many", "tokens"), ("-5", "tokens"), ("1.5", "tokens")),
        *(("5 USD", "USD"), ("1e9", "USD"), ("$5", "tokens"), ("2G", "USD"), ("1M2", "tokens")),
        ("NaN", "USD"),
    ],
)
def test_what_nobody_can_mean(text: str, unit: Unit) -> None:
    """The message shows an amount of that unit."""
    with pytest.raises(ValueError, match="accepted is"):
        parsed(text, unit)


def test_what_is_shown() -> None:
    """Thousands apart; dollars with cents, and finer where they are finer."""
    texts = [shown(1_500_000, "tokens"), shown(5 * NANO, "USD"), shown(1234_000_000_001, "USD")]

    assert texts == ["1,500,000 tokens", "5.00 USD", "1,234.000000001 USD"]


@given(st.integers(0, 10**18))
def test_no_dollar_is_rounded(nano: int) -> None:
    """What is kept comes back as a Decimal, which gives the same again."""
    assert counted(public(nano, "USD"), "USD", named="amount") == nano

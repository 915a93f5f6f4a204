"""What a ledger allows, refuses, books and forgets."""

import copy
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_metrics.budgets import BudgetExceeded, BudgetLedger, Standing
from tests.otel_metrics.budgets.ledgers import Clock, disagreements, entries


def standing(ledger: BudgetLedger, name: str) -> Standing:
    """Return how one budget stands."""
    return next(each for each in ledger.list() if each.name == name)


def test_an_exact_fit_passes_and_one_more_does_not(ledger: BudgetLedger) -> None:
    """The limit itself may be spent."""
    ledger.define("acme", 100, tenant="acme")
    ledger.spend(60, tenant="acme")
    ledger.spend(40, tenant="acme")

    with pytest.raises(BudgetExceeded):
        ledger.spend(1, tenant="acme")


def test_a_refusal_says_what_is_left_and_when_it_starts_anew(ledger: BudgetLedger) -> None:
    """In the message, and as attributes that a program can act on."""
    ledger.define("acme-daily", 10_000, tenant="acme")
    ledger.spend(7_500, tenant="acme")

    with pytest.raises(BudgetExceeded) as raised:
        ledger.spend(4_000, tenant="acme")

    error = raised.value
    assert str(error) == (
        "budget acme-daily: 4,000 tokens refused, 2,500 left of 10,000 a day (7,500 used); it "
        "starts anew at 2026-01-16T00:00:00Z: wait until then, spend less, or raise it with "
        "otel-metrics budgets set"
    )
    assert (error.budget, error.subject, error.unit) == ("acme-daily", "acme", "tokens")
    assert (error.limit, error.used, error.reserved) == (10_000, 7_500, 0)
    assert (error.requested, error.remaining) == (4_000, 2_500)
    assert error.resets_at == datetime(2026, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_a_refusal_passes_to_another_process(
    ledger: BudgetLedger, through: Callable[[Any], Any]
) -> None:
    """A pool or a task queue pickles what a worker raises."""
    ledger.define("acme", 1, unit="USD", tenant="acme")
    with pytest.raises(BudgetExceeded) as raised:
        ledger.spend(usd=2, tenant="acme")

    passed = through(raised.value)

    assert (str(passed), vars(passed)) == (str(raised.value), vars(raised.value))


def test_a_refused_spend_is_not_booked(ledger: BudgetLedger, path: Path) -> None:
    """Neither in the budget nor among the entries; only that it was refused is kept."""
    ledger.define("acme", 100, tenant="acme")
    with pytest.raises(BudgetExceeded):
        ledger.spend(101, tenant="acme")

    assert (standing(ledger, "acme").used, standing(ledger, "acme").refusals) == (0, 1)
    assert entries(path) == []


def test_all_budgets_have_room_or_nothing_is_booked(ledger: BudgetLedger, path: Path) -> None:
    """A spend that one of its budgets refuses is in none of them."""
    ledger.define("everything", 50, period="month")
    ledger.define("acme", 100, tenant="acme")
    ledger.define("triage", 100, skill="triage", period="hour")
    ledger.spend(30, tenant="acme", skill="triage", agent="a")

    with pytest.raises(BudgetExceeded, match="budget everything"):
        ledger.spend(30, tenant="acme", skill="triage", agent="a")

    used = {each.name: each.used for each in ledger.list() if each.scope != "tenant"}
    assert used == {"everything": 30, "triage": 30}
    assert standing(ledger, "acme").used == 30
    assert disagreements(path) == []


def test_the_budget_that_is_named_is_the_one_to_wait_for(ledger: BudgetLedger) -> None:
    """Where several refuse, waiting for the first would be in vain."""
    ledger.define("hourly", 10, period="hour")
    ledger.define("monthly", 10, period="month")
    ledger.define("daily", 10)

    with pytest.raises(BudgetExceeded) as raised:
        ledger.spend(11)

    assert raised.value.budget == "monthly"
    assert [each.refusals for each in ledger.list() if each.scope == "global"] == [1, 1, 1]


def test_tokens_and_dollars_are_one_spend(ledger: BudgetLedger) -> None:
    """Tokens cannot bound a bill: a call is refused when either has no room."""
    ledger.define("tokens", 1000)
    ledger.define("bill", 1, unit="USD", period="month")
    ledger.spend(100, usd=0.75)

    with pytest.raises(BudgetExceeded, match=r"bill: 0\.30 USD refused, 0\.25 left of 1\.00"):
        ledger.spend(100, usd=0.3)

    assert standing(ledger, "tokens").used == 100
    assert standing(ledger, "bill").used == Decimal("0.75")


def test_dollars_are_exact(ledger: BudgetLedger) -> None:
    """A million times a tenth of a cent is a thousand dollars, where floats would drift."""
    ledger.define("bill", Decimal("0.3"), unit="USD")
    for _ in range(3):
        ledger.spend(usd=0.1)

    assert ledger.remaining("USD") == 0
    assert standing(ledger, "bill").used == Decimal("0.3")


def test_each_tenant_has_a_quota_to_itself(ledger: BudgetLedger) -> None:
    """A budget of each is as many as there are tenants, who know nothing of each other."""
    ledger.define("per-tenant", 100, tenant="*", period="month")
    ledger.spend(100, tenant="acme")
    ledger.spend(100, tenant="bolt")

    with pytest.raises(BudgetExceeded, match="budget per-tenant/acme"):
        ledger.spend(1, tenant="acme")


def test_a_tenants_own_budget_stands_in_for_that_of_each(ledger: BudgetLedger) -> None:
    """Of the same unit and period; others hold all the same. Taken away, the common one holds."""
    ledger.define("tenant-daily", 100, tenant="*")
    ledger.define("tenant-hourly", 250, tenant="*", period="hour")
    ledger.define("acme-daily", 1000, tenant="acme")
    ledger.spend(200, tenant="acme")

    with pytest.raises(BudgetExceeded, match="tenant-hourly/acme"):
        ledger.spend(100, tenant="acme")
    ledger.remove("acme-daily")
    with pytest.raises(BudgetExceeded, match="tenant-daily/acme: 1 tokens refused, 0 left of 100"):
        ledger.spend(1, tenant="acme")


def test_a_spend_without_a_budget_passes(ledger: BudgetLedger) -> None:
    """It is booked, and counts in a budget that is defined later in the period."""
    ledger.spend(700, skill="triage")
    assert ledger.remaining(skill="triage") is None

    ledger.define("triage", 1000, skill="triage", period="month")

    assert ledger.remaining(skill="triage") == 300


def test_a_budget_that_is_defined_late_counts_its_own_only(
    ledger: BudgetLedger, path: Path, clock: Clock
) -> None:
    """Of its subject, its unit and its period."""
    clock.set("2026-01-14T23:59:59")
    ledger.spend(1, tenant="acme")
    clock.set("2026-01-15T00:00:00")
    ledger.spend(20, tenant="acme")
    ledger.spend(300, tenant="bolt", usd=5)
    ledger.spend(usd=7, tenant="acme")

    ledger.define("acme", 1000, tenant="acme")
    ledger.define("each", 1000, tenant="*", period="month")
    ledger.define("bill", 1000, unit="USD")

    used = {each.name: each.used for each in ledger.list()}
    assert (used["acme"], used["each/bolt"], used["bill"]) == (20, 300, 12)
    assert disagreements(path) == []


def test_a_changed_limit_keeps_what_is_used(ledger: BudgetLedger) -> None:
    """One below what is used refuses all that follows."""
    ledger.define("acme", 100, tenant="acme")
    ledger.spend(80, tenant="acme")
    ledger.define("acme", 50, tenant="acme")

    assert (standing(ledger, "acme").used, standing(ledger, "acme").remaining) == (80, 0)
    with pytest.raises(BudgetExceeded):
        ledger.spend(0, tenant="acme")


def test_a_changed_period_counts_what_was_spent_in_it(ledger: BudgetLedger, clock: Clock) -> None:
    """So does a changed unit."""
    ledger.define("acme", 100, tenant="acme")
    clock.set("2026-01-14T12:00:00")
    ledger.spend(30, usd=2, tenant="acme")
    clock.set("2026-01-15T12:00:00")
    ledger.spend(10, usd=1, tenant="acme")

    ledger.define("acme", 100, tenant="acme", period="month")
    assert standing(ledger, "acme").used == 40
    ledger.define("acme", 100, tenant="acme", unit="USD", period="month")
    assert standing(ledger, "acme").used == 3


def test_another_ledger_object_sees_a_change(ledger: BudgetLedger, path: Path) -> None:
    """Also when it has read the budgets before."""
    ledger.define("acme", 100, tenant="acme")
    ledger.spend(1, tenant="acme")

    BudgetLedger(path).define("acme", 1, tenant="acme")

    with pytest.raises(BudgetExceeded):
        ledger.spend(1, tenant="acme")


@pytest.mark.parametrize(
    ("period", "last", "first"),
    [
        ("hour", "2026-01-15T10:59:59.999999", "2026-01-15T11:00:00"),
        ("day", "2026-01-15T23:59:59.999999", "2026-01-16T00:00:00"),
        ("month", "2026-01-31T23:59:59.999999", "2026-02-01T00:00:00"),
        ("month", "2024-02-29T23:59:59.999999", "2024-03-01T00:00:00"),
        ("month", "2026-02-28T23:59:59.999999", "2026-03-01T00:00:00"),
    ],
)
def test_a_budget_starts_anew_with_its_period(
    ledger: BudgetLedger, clock: Clock, period: Any, last: str, first: str
) -> None:
    """To the microsecond."""
    clock.set(last)
    ledger.define("acme", 100, tenant="acme", period=period)
    ledger.spend(100, tenant="acme")
    with pytest.raises(BudgetExceeded):
        ledger.spend(1, tenant="acme")

    clock.set(first)
    ledger.spend(100, tenant="acme")

    assert standing(ledger, "acme").remaining == 0


def test_a_clock_that_goes_back_gives_nothing_twice(
    ledger: BudgetLedger, path: Path, clock: Clock
) -> None:
    """What was used of a day counts again on that day, and the next one keeps its own."""
    ledger.define("acme", 100, tenant="acme")
    ledger.spend(90, tenant="acme")
    clock.set("2026-01-16T00:00:01")
    ledger.spend(70, tenant="acme")

    clock.set("2026-01-15T23:59:59")
    assert ledger.remaining(tenant="acme") == 10
    clock.set("2026-01-16T00:00:02")
    assert ledger.remaining(tenant="acme") == 30
    assert disagreements(path) == []


def test_a_key_is_booked_once(ledger: BudgetLedger) -> None:
    """A retry of a spend whose answer was lost changes nothing, even where nothing is left."""
    ledger.define("acme", 100, tenant="acme")
    first = ledger.spend(100, tenant="acme", idempotency_key="call-7")
    again = ledger.spend(100, tenant="acme", idempotency_key="call-7")

    assert (first.is_duplicate, again.is_duplicate) == (False, True)
    assert standing(ledger, "acme").used == 100


@pytest.mark.parametrize(
    "other",
    [
        {"tokens": 2, "tenant": "acme"},
        {"usd": 1, "tenant": "acme"},
        {"tokens": 1, "tenant": "other"},
        {"tokens": 1, "tenant": "acme", "agent": "crawler"},
    ],
)
def test_a_key_of_another_spend_is_said_to_be(ledger: BudgetLedger, other: dict[str, Any]) -> None:
    """It is no retry: taken for one, it would be booked nowhere."""
    ledger.spend(1, tenant="acme", idempotency_key="call-7")

    with pytest.raises(ValueError, match=r"^idempotency_key=call-7: is of another spend"):
        ledger.spend(**other, idempotency_key="call-7")


def test_a_name_that_no_budget_can_have_is_of_none(ledger: BudgetLedger) -> None:
    """Half a character, which no file can hold, is no name to remove."""
    assert ledger.remove("\ud800") is False


def test_a_refused_key_may_be_tried_again(ledger: BudgetLedger, clock: Clock) -> None:
    """It was not booked."""
    ledger.define("acme", 100, tenant="acme")
    with pytest.raises(BudgetExceeded):
        ledger.spend(200, tenant="acme", idempotency_key="call-7")
    ledger.define("acme", 200, tenant="acme")

    assert not ledger.spend(200, tenant="acme", idempotency_key="call-7").is_duplicate


def test_old_entries_go(ledger: BudgetLedger, path: Path, clock: Clock) -> None:
    """After 40 days, with one spend in 512 on average: the file does not grow for ever."""
    for day in ("2026-01-01", "2026-01-02"):
        clock.set(f"{day}T12:00:00")
        ledger.spend(int(day[-2:]), tenant="acme")

    clock.set("2026-02-11T11:00:00")
    for _ in range(8_000):
        ledger.spend(11, tenant="acme")

    assert {tokens for _, tokens, _ in entries(path)} == {2, 11}
    assert disagreements(path) == []


def test_what_is_left_is_the_least_of_all(ledger: BudgetLedger) -> None:
    """Of the budgets that such a spend would touch."""
    ledger.define("all", 500, period="month")
    ledger.define("acme", 300, tenant="acme")
    ledger.define("bill", 2, unit="USD")

    assert ledger.remaining(tenant="acme") == 300
    assert ledger.remaining(tenant="bolt") == 500
    assert ledger.remaining("USD", tenant="acme") == 2
    assert ledger.remaining(skill="triage") == 500


def test_a_receipt_tells_how_the_budgets_stand(ledger: BudgetLedger) -> None:
    """Those that limited the spend, after it."""
    ledger.define("all", 500, period="month")

    receipt = ledger.spend(20, tenant="acme")

    assert [(each.name, each.remaining) for each in receipt.budgets] == [
        ("all", 480),
        ("tenant-daily/acme", 1_499_980),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "no amount is given; give tokens, usd or both"),
        ({"tokens": -1}, "tokens=-1: accepted is a number that is not below zero"),
        ({"tokens": 1, "tenant": ""}, "tenant: accepted is a text of 1 to 512 characters"),
        ({"tokens": 1, "skill": 7}, "skill: accepted is a text of 1 to 512 characters"),
        ({"tokens": 1, "agent": "a" * 513}, "agent: accepted is a text of 1 to 512 characters"),
        ({"tokens": 1, "tenant": "*"}, "tenant=*: stands for each in a budget; a spend is of one"),
        ({"tokens": 1, "idempotency_key": 5}, "idempotency_key: accepted is a text"),
    ],
)
def test_a_spend_that_is_none(ledger: BudgetLedger, arguments: dict[str, Any], said: str) -> None:
    """It is a mistake in the program, so it raises, and books nothing."""
    with pytest.raises(ValueError, match=r".") as raised:
        ledger.spend(**arguments)

    assert str(raised.value).startswith(said)
    assert [each.used for each in ledger.list()] == [0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "a", "limit": 5, "unit": "dollars"}, "unit=dollars: accepted is tokens, USD"),
        (
            {"name": "a", "limit": 5, "unit": "tokenz"},
            "unit=tokenz: accepted is tokens, USD; did you mean tokens?",
        ),
        (
            {"name": "a", "limit": 5, "period": "dayly"},
            "period=dayly: accepted is hour, day, month; did you mean day?",
        ),
        (
            {"name": "a", "limit": 5, "soft_limit": 6},
            "soft_limit=6: is above the limit; give at most 5",
        ),
        ({"name": "a", "limit": 5, "tenant": "t", "skill": "s"}, "tenant and skill are given"),
        ({"name": "", "limit": 5}, "name=: accepted is a printable text"),
        ({"name": "a/b", "limit": 5}, "name=a/b: accepted is a printable text"),
        ({"name": "a\n", "limit": 5}, "name="),
        ({"name": "a", "limit": "5"}, "limit=5: accepted is an int or a float"),
    ],
)
def test_a_budget_that_is_none(ledger: BudgetLedger, arguments: dict[str, Any], said: str) -> None:
    """The message says what is accepted, and what may have been meant."""
    with pytest.raises(ValueError, match=r".") as raised:
        ledger.define(**arguments)

    assert str(raised.value).startswith(said)
    assert [each.name for each in ledger.list()] == ["tenant-daily"]


def test_there_is_an_end_to_budgets(ledger: BudgetLedger, path: Path) -> None:
    """At 10,000; one of each is the remedy for many."""
    ledger.spend(1)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
            "INSERT INTO budgets (name, scope, subject, unit, period, hard_limit) "
            "SELECT 'b' || i, 'tenant', 't' || i, 'tokens', 'day', 1 FROM n"
        )

    with pytest.raises(ValueError, match="let one be of each"):
        ledger.define("one more", 1, tenant="b")


@pytest.mark.parametrize(
    "name", ["it's; DROP TABLE entries", "naïve 名前", "nul\0inside", "\ud800", "a/b", "%", "🎟"]
)
def test_a_tenant_may_be_called_anything(ledger: BudgetLedger, path: Path, name: str) -> None:
    """What is booked under a name is found under it."""
    ledger.define("each", 100, tenant="*", period="month")
    ledger.spend(60, tenant=name)

    assert ledger.remaining(tenant=name) == 40
    assert disagreements(path) == []


def test_an_amount_at_the_end_of_numbers_is_booked(ledger: BudgetLedger) -> None:
    """And the one that would pass it is refused."""
    ledger.define("all", 10**18)
    ledger.spend(10**18)

    with pytest.raises(BudgetExceeded):
        ledger.spend(10**18)
    assert standing(ledger, "all").used == 10**18

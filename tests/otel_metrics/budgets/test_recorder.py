"""What a dashboard, an alert and an archive see of budgets."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from otel_metrics import budgets
from otel_metrics.budgets import BudgetExceeded, BudgetLedger
from otel_metrics.testing import Captured
from tests.otel_metrics.budgets.ledgers import Clock

WARNED = {
    "budget.name": "acme",
    "budget.unit": "token",
    "budget.scope": "tenant",
    "budget.subject": "acme",
    "budget.period": "day",
    "budget.amount_limit": 100,
    "budget.amount_used": 90,
    "budget.amount_reserved": 0,
    "budget.amount_remaining": 10,
    "budget.resets_at": "2026-01-16T00:00:00Z",
}


def about(name: str, unit: str = "token") -> dict[str, str]:
    """Return the attributes of a budget's gauges."""
    return {"budget.name": name, "budget.unit": unit}


def test_the_gauges_are_the_ledger(captured_telemetry: Captured, in_use: BudgetLedger) -> None:
    """Limit, used and remaining, in whole tokens and in dollars; what is reserved is not left."""
    budgets.define("acme", 100, tenant="acme", period="month")
    budgets.define("bill", 2.5, unit="USD")
    budgets.spend(30, usd=0.75, tenant="acme")
    with budgets.reserve(20, tenant="acme"):
        gauges = {
            (name, key): captured_telemetry.value(f"budget.{name}", about(key, unit))
            for name in ("limit", "used", "remaining")
            for key, unit in (("acme", "token"), ("bill", "USD"))
        }

    assert gauges == {
        ("limit", "acme"): 100,
        ("used", "acme"): 30,
        ("remaining", "acme"): 50,
        ("limit", "bill"): 2.5,
        ("used", "bill"): 0.75,
        ("remaining", "bill"): 1.75,
    }


def test_a_budget_of_each_is_shown_for_each_that_spent(
    captured_telemetry: Captured, in_use: BudgetLedger
) -> None:
    """Under its name and whose part of it; the common one itself is no figure."""
    budgets.spend(1_000, tenant="acme")
    budgets.spend(2_000, tenant="bolt")

    used = {
        (point.attributes or {})["budget.name"]: point.value  # type: ignore[union-attr]  # a gauge's
        for point in captured_telemetry.points("budget.used")
    }
    assert used == {"tenant-daily/acme": 1_000, "tenant-daily/bolt": 2_000}


def test_a_tenants_daily_quota_is_shown_in_percent(
    captured_telemetry: Captured, in_use: BudgetLedger
) -> None:
    """Under the name that callers chart already."""
    budgets.spend(375_000, tenant="acme")

    assert captured_telemetry.value("pforge.budget.usage", {"tenant": "acme"}) == 25


def test_what_another_process_spent_is_shown(
    captured_telemetry: Captured, in_use: BudgetLedger, path: Path, clock: Clock
) -> None:
    """The figures are read from the file, and not from what this process did."""
    BudgetLedger(path, clock=clock).spend(300_000, tenant="acme")

    assert captured_telemetry.value("budget.used", about("tenant-daily/acme")) == 300_000
    captured_telemetry.names()
    assert captured_telemetry.value("pforge.budget.usage", {"tenant": "acme"}) == 20


def test_without_a_ledger_nothing_is_shown(captured_telemetry: Captured) -> None:
    """No budget is no gauge of zero."""
    budgets.use(None)

    assert captured_telemetry.names() == set()


def test_a_collection_does_not_wait_for_a_writer(
    captured_telemetry: Captured, in_use: BudgetLedger, path: Path
) -> None:
    """One process may hold the ledger for long; what is committed is shown meanwhile."""
    budgets.spend(10, tenant="acme")
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert captured_telemetry.value("budget.used", about("tenant-daily/acme")) == 10


def test_each_refusal_is_counted(captured_telemetry: Captured, in_use: BudgetLedger) -> None:
    """Also those that a loop makes in no time, of which the first is an event."""
    budgets.define("acme", 100, tenant="acme")
    for _ in range(50):
        with pytest.raises(BudgetExceeded):
            budgets.spend(101, tenant="acme")

    assert captured_telemetry.value("budget.refusals", {"budget.name": "acme"}) == 50
    assert next(each.refusals for each in budgets.list() if each.name == "acme") == 50
    assert captured_telemetry.event("budget.refused").attributes == {
        **WARNED,
        "budget.amount_used": 0,
        "budget.amount_remaining": 100,
        "budget.requested": 101,
        "budget.refused_since": 1,
    }


def test_a_soft_limit_warns_once_a_period(
    captured_telemetry: Captured,
    in_use: BudgetLedger,
    path: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the log and as an event, by whichever process passes it; an exact fit does not."""
    budgets.define("acme", 100, tenant="acme", soft_limit=80)
    budgets.spend(80, tenant="acme")
    assert captured_telemetry.events == []

    with caplog.at_level(logging.WARNING, "otel_metrics.budgets"):
        budgets.spend(10, tenant="acme")
        BudgetLedger(path, clock=clock).spend(5, tenant="acme")

    (line,) = caplog.messages
    assert line.startswith("budget acme: its soft limit of 80 tokens is passed, 90 used of 100")
    warned = captured_telemetry.event("budget.warned")
    assert warned.attributes == {**WARNED, "budget.soft_limit": 80}


def test_a_soft_limit_warns_again_in_the_next_period(
    captured_telemetry: Captured, in_use: BudgetLedger, clock: Clock
) -> None:
    """And when it is set anew."""
    budgets.define("acme", 100, tenant="acme", soft_limit=10)
    budgets.spend(11, tenant="acme")
    clock.set("2026-01-16T00:00:00")
    budgets.spend(11, tenant="acme")
    budgets.define("acme", 100, tenant="acme", soft_limit=20)
    budgets.spend(11, tenant="acme")

    assert [event.name for event in captured_telemetry.events] == ["budget.warned"] * 3


def test_tokens_of_a_spend_are_counted_where_vendor_and_model_are_known(
    captured_telemetry: Captured, in_use: BudgetLedger
) -> None:
    """What is refused or booked before is not: the counter and the ledger agree."""
    call: dict[str, Any] = {"tenant": "acme", "vendor": "openai", "model": "gpt-4o"}
    budgets.spend(1000, **call, idempotency_key="1")
    budgets.spend(1000, **call, idempotency_key="1")
    with pytest.raises(BudgetExceeded):
        budgets.spend(1_500_000, **call)
    with budgets.reserve(500, **call) as reserved:
        reserved.settle(480)
    budgets.spend(7, tenant="acme")

    counted = captured_telemetry.value(
        "pforge.tokens.used", {"vendor": "openai", "model": "gpt-4o"}
    )
    assert counted == 1480
    assert 1_500_000 - (budgets.remaining(tenant="acme") or 0) == 1487


def test_the_gauges_of_a_day_end_with_it(
    captured_telemetry: Captured, in_use: BudgetLedger, clock: Clock
) -> None:
    """A tenant that spends no more is not shown at yesterday's percent."""
    budgets.spend(15_000, tenant="acme")
    assert captured_telemetry.value("pforge.budget.usage") == 1
    clock.set("2026-01-16T00:00:01")
    budgets.use(in_use)  # reads at once, where it else waits half a second

    captured_telemetry.names()

    assert captured_telemetry.value("budget.used") == 0

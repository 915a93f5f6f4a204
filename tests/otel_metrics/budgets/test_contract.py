"""The budget of the efficiency system, as compat.md says it, used as one of its callers would.

Per tenant a daily quota (default 1,500,000 tokens); refused when usage + tokens > quota (an exact
fit passes); a refused spend is not recorded; the token counter and the budget agree.
"""

from pathlib import Path

import pytest

from otel_metrics import budgets
from otel_metrics.testing import Captured
from tests.otel_metrics.budgets.ledgers import Clock

CALL = {"vendor": "openai", "model": "gpt-4o"}


@pytest.fixture(autouse=True)
def _in_use(captured_telemetry: Captured, path: Path, clock: Clock) -> object:
    """A ledger that nobody has set anything in."""
    budgets.use(budgets.BudgetLedger(path, clock=clock))
    yield
    budgets.use(None)


def spend(tokens: int, tenant: str) -> None:
    """Spend tokens of a call."""
    budgets.spend(tokens, tenant=tenant, vendor="openai", model="gpt-4o")


def test_the_default_quota_is_one_and_a_half_million_tokens() -> None:
    """For each tenant, whoever it is."""
    assert budgets.remaining(tenant="acme") == budgets.remaining(tenant="other") == 1_500_000


def test_an_exact_fit_passes() -> None:
    """Usage and tokens together may be the quota."""
    spend(1_400_000, "acme")
    spend(100_000, "acme")

    assert budgets.remaining(tenant="acme") == 0


def test_one_token_more_is_refused() -> None:
    """With what is left."""
    spend(1_400_000, "acme")

    with pytest.raises(budgets.BudgetExceeded) as raised:
        spend(100_001, "acme")
    assert raised.value.remaining == 100_000


def test_a_refused_spend_is_not_recorded(captured_telemetry: Captured) -> None:
    """Neither in the budget nor by the token counter; a smaller one passes after it."""
    with pytest.raises(budgets.BudgetExceeded):
        spend(1_500_001, "acme")
    spend(1_500_000, "acme")

    assert captured_telemetry.value("pforge.tokens.used", CALL) == 1_500_000


def test_the_token_counter_and_the_budget_agree(captured_telemetry: Captured) -> None:
    """Over tenants, refusals among them."""
    for tokens in (700_000, 900_000, 300_000, 600_000):
        for tenant in ("acme", "other"):
            try:
                spend(tokens, tenant)
            except budgets.BudgetExceeded:
                continue

    used = captured_telemetry.value("budget.used")
    assert captured_telemetry.value("pforge.tokens.used") == used == 2 * 1_000_000


def test_the_quota_is_of_a_day(clock: Clock) -> None:
    """In UTC."""
    clock.set("2026-01-15T23:59:59")
    spend(1_500_000, "acme")
    clock.set("2026-01-16T00:00:00")

    assert budgets.remaining(tenant="acme") == 1_500_000


def test_a_quota_may_be_another(captured_telemetry: Captured) -> None:
    """For a tenant, or for each."""
    budgets.define("acme", 10, tenant="acme")
    budgets.define("tenant-daily", 20, tenant="*")

    assert (budgets.remaining(tenant="acme"), budgets.remaining(tenant="other")) == (10, 20)
    spend(5, "acme")
    assert captured_telemetry.value("pforge.budget.usage", {"tenant": "acme"}) == 50

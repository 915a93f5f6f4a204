"""A ledger of its own for each test, at a time that the test sets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_metrics import budgets
from otel_metrics.budgets import BudgetLedger
from tests.otel_metrics.budgets.ledgers import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock in the middle of a month, a day and an hour."""
    return Clock("2026-01-15T10:30:00")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the ledger."""
    return tmp_path / "budgets.db"


@pytest.fixture
def ledger(path: Path, clock: Clock) -> Iterator[BudgetLedger]:
    """A new ledger."""
    made = BudgetLedger(path, clock=clock)
    yield made
    made.close()


@pytest.fixture
def in_use(ledger: BudgetLedger) -> Iterator[BudgetLedger]:
    """A new ledger that the functions of the module use."""
    budgets.use(ledger)
    yield ledger
    budgets.use(None)

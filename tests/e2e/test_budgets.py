"""Budgets in services: named by a variable, exact over workers, held though nothing is measured."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_metrics.budgets import BudgetLedger
from tests.e2e.services import Service, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived, Run

pytestmark = pytest.mark.slow

VARIABLE = "OTEL_PYTHON_METRICS_BUDGETS_DB"
SPEND = """
import otel_metrics
from otel_metrics import budgets
telemetry = otel_metrics.configure()
budgets.define("acme", 100, tenant="acme", soft_limit=50)
budgets.spend(60, tenant="acme", vendor="openai", model="gpt-4o")
try:
    budgets.spend(41, tenant="acme", vendor="openai", model="gpt-4o")
except budgets.BudgetExceeded as refused:
    print(refused.remaining)
"""
WORKERS = """
import os, signal
import otel_metrics
from otel_metrics import budgets
telemetry = otel_metrics.configure()
budgets.define("acme", 1_000, tenant="acme", period="month")
for amount in (100, 200, 300):
    if os.fork() == 0:
        budgets.spend(amount, tenant="acme", vendor="openai", model="gpt-4o")
        os.read(0, 1)
        os._exit(0)
os.read(0, 1)
"""


def test_a_variable_names_the_ledger(run: "Run", archived: "Archived", tmp_path: Path) -> None:
    """Metrics and events of its budgets are in the archive, and agree with each other."""
    done = run(SPEND, env={VARIABLE: str(tmp_path / "budgets.db")})

    name = '{"budget.name": "acme", "budget.unit": "token"}'
    assert done.stdout == "40\n"
    assert archived.totals("budget.used")[name] == 60
    assert archived.totals("budget.remaining")[name] == 40
    assert archived.total("pforge.tokens.used") == 60
    assert archived.total("budget.refusals") == 1
    assert [event["budget.requested"] for event in archived.events("budget.refused")] == [41]
    assert [event["budget.soft_limit"] for event in archived.events("budget.warned")] == [50]


def test_a_limit_holds_though_telemetry_is_off(run: "Run", tmp_path: Path) -> None:
    """Who turns measuring off means to spend no more for it."""
    done = run(SPEND, env={VARIABLE: str(tmp_path / "budgets.db"), "OTEL_SDK_DISABLED": "true"})

    assert done.stdout == "40\n"
    assert not (tmp_path / "telemetry").exists()


def test_without_a_ledger_a_spend_is_refused(run: "Run", tmp_path: Path) -> None:
    """The message names the variable, and nothing is written but the archive."""
    done = run(SPEND, status=1)

    assert f"set {VARIABLE} to a file and call otel_metrics.configure()" in done.stderr
    assert {each.name for each in tmp_path.iterdir()} <= {"program.py", "telemetry"}


def test_no_import_pays_for_a_ledger(run: "Run") -> None:
    """A decorator may be written without sqlite3 and asyncio being loaded."""
    done = run(
        "import sys\n"
        "from otel_metrics import budgets\n"
        "budgets.reserve(10)(len)\n"
        "print([name for name in ('sqlite3', 'asyncio') if name in sys.modules])\n"
    )

    assert done.stdout == "[]\n"


def test_every_worker_shows_the_same(service: Callable[..., Service], tmp_path: Path) -> None:
    """One page, one figure a budget: what all of them spent, and not the sum of what each saw."""
    path = tmp_path / "budgets.db"
    program = service(WORKERS, env={VARIABLE: str(path)})
    acme = 'budget_name="acme",budget_unit="token"'

    until(lambda: program.page().series("budget_used").get(acme) == 600)

    until(lambda: program.page().total("pforge_tokens_used_total") == 600)
    page = program.page()
    assert page.series("budget_remaining")[acme] == 400
    ledger = BudgetLedger(path)
    assert next(each.used for each in ledger.list() if each.name == "acme") == 600
    program.go(4)

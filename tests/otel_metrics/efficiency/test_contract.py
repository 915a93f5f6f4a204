"""The contract of an orchestrator's metrics, as its callers and scrapers know it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from otel_exporter_ndjson import read
from otel_metrics import efficiency
from otel_metrics.testing import Captured, capture
from tests.otel_metrics.web.test_routes import get, service

SHORT = (
    *("EFFICIENCY", "ENTROPY", "GAPS", "MISFITS", "FALSE_PIECES", "AGENTS_ACTIVE", "TICKS"),
    *("ORCHESTRATOR_TICK_DURATION", "AGENT_ERRORS", "PATCHES_APPLIED", "ROLLBACKS"),
    *("RECOVERY_ACTIONS", "BUDGET_USAGE", "TOKENS_USED_TOTAL"),
)
NAMES = [f"PFORGE_{name}" for name in SHORT]
STATE = {
    "gaps": 5,
    "misfits": 2,
    "false_pieces": 1,
    "risk": 0,
    "backtracks": 0,
    "entropy": 0.81,
    "decay": 0,
    "phi": 3,
    "total_issues": 7,
    "closed_issues": 4,
    "passing_tests": 30,
    "total_tests": 40,
    "efficiency": 0.49,
    "tick": 10,
}
TOKEN = "a-token-of-the-tests-0123456789"
SERVICE = """
import otel_metrics
from fastapi import FastAPI
from otel_metrics.efficiency import PFORGE_EFFICIENCY, record_plan, update_state_gauges
from otel_metrics.web.fastapi import router
otel_metrics.configure(service_name="forge")
app = FastAPI()
app.include_router(router)
update_state_gauges({"efficiency": 0.49, "tick": 3})
record_plan("plan-1", 0.8, cost_usd=0.1)
PFORGE_EFFICIENCY.set(1.23)
"""


@pytest.mark.parametrize(
    ("state", "weights", "expected"),
    [
        ({"tick": 1}, {}, 1.0),
        ({"tick": 10, "gaps": 5, "misfits": 2, "total_issues": 7}, {"gamma": 1.5}, 7 / 18),
        ({"tick": 10, "gaps": 2, "phi": 3, "total_issues": 2}, {"theta": 2.5}, 2 / 4.5),
        ({"tick": 5, "phi": 10, "total_issues": 5}, {}, 5.0),
    ],
)
def test_the_fixed_points(
    state: dict[str, float], weights: dict[str, float], expected: float
) -> None:
    """With the rest of the fields 0, exactly."""
    rest = dict.fromkeys(STATE, 0) | {"efficiency": None}

    assert efficiency.compute_efficiency({**rest, **state}, **weights) == expected


def test_the_entropy_without_tests_is_none() -> None:
    """And one bit where half of them pass."""
    halves = {"passing_tests": 4, "total_tests": 8}

    assert efficiency.compute_entropy({"passing_tests": 0, "total_tests": 0}) == 0
    assert efficiency.compute_entropy(halves) == 1


@pytest.mark.parametrize("state", [STATE, SimpleNamespace(**STATE)], ids=["mapping", "object"])
def test_a_state_sets_five_gauges_at_once(captured_telemetry: Captured, state: Any) -> None:
    """And one below 0.50 is a dip."""
    efficiency.update_state_gauges(state)

    gauges = ("efficiency", "entropy", "gaps", "misfits", "false_pieces")
    found = {name: captured_telemetry.value(f"pforge.{name}") for name in gauges}
    assert found == {name: STATE[name] for name in gauges}
    assert captured_telemetry.event("efficiency.dip").attributes["efficiency"] == 0.49


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_each_method(name: str) -> None:
    """None of which raises, whether it fits the metric or not."""
    metric = getattr(efficiency, name)
    with capture(strict=False) as seen:
        metric.labels()
        for each in (metric, metric.labels()):
            each.set(1)
            each.inc()
            each.inc(2)
            each.observe(0.5)

    assert name in efficiency.__all__
    assert len(seen.names() - {"metric.rejected"}) == 1


@pytest.mark.slow
def test_the_page_is_for_authenticated_clients_only(tmp_path: Path) -> None:
    """It shows what was set, and the archive has the dip and the plan."""
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    variable = {"OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE": str(token)}
    with service(tmp_path, SERVICE, **variable) as url:
        stranger, wrong = get(f"{url}/metrics"), get(f"{url}/metrics", Authorization="Bearer no")
        page = get(f"{url}/metrics", Authorization=f"Bearer {TOKEN}")

    assert stranger is not None and wrong is not None and page is not None
    assert (stranger[0], wrong[0], page[0]) == (401, 401, 200)
    assert page[1]["content-type"].startswith("text/plain; version=0.0.4")
    assert b"\npforge_efficiency 1.23\n" in page[2]
    assert b"pforge" not in stranger[2] + wrong[2]
    events = {
        each.data["event"]: each.data["attributes"] for each in read("telemetry", signal="events")
    }
    assert events == {
        "efficiency.dip": {"efficiency": 0.49, "tick": 3},
        "efficiency.plan": {"plan_id": "plan-1", "priority": 0.8, "cost_usd": 0.1},
    }

"""Points that are older than the store takes: whose they drop, and whose not."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.collector_config.conftest import MakeCollector
from tests.collector_config.prometheus3 import Prometheus
from tests.collector_config.running import DEADLINE_S, Collector, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.component("otelcol"),
    pytest.mark.component("prometheus3"),
]

WINDOW_S: Final = 3600.0
"""No `out_of_order_time_window` of this project is longer."""
DROPPED: Final = "Dropping data"


@pytest.fixture
def prometheus(component: Callable[[str], str], tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that knows of one service, and so what is old."""
    prometheus = Prometheus(component("prometheus3"), tmp_path / "prometheus")
    yield prometheus.start()
    prometheus.close()


@pytest.fixture(params=["gateway", "gateway-remote-write"])
def agents(
    request: pytest.FixtureRequest, collector: MakeCollector, prometheus: Prometheus
) -> list[Collector]:
    """The agents of two hosts, and the way from both to Prometheus, which already has points."""
    urls = {
        "OTELCOL_PROMETHEUS_URL": prometheus.otlp,
        "OTELCOL_REMOTE_WRITE_URL": prometheus.remote_write,
    }
    gateway = collector(request.param, env=urls).start()
    env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http}
    agents = [collector("agent", env=env, label=label).start() for label in ("one", "two")]
    send(agents[0], point("first", 1))
    until(lambda: prometheus.total('ticks_total{job="first"}') == 1, agents[0].log)
    return agents


def test_of_one_host_they_cost_the_others_nothing(
    agents: list[Collector], prometheus: Prometheus
) -> None:
    """An agent that was away for too long drops what is too old, and no point of another agent that
    is sent at the same time."""
    away, other = agents
    send(away, point("away", 3, age_s=2 * WINDOW_S))
    send(other, point("other", 5))
    until(lambda: away.said(DROPPED), away.log)
    until(lambda: prometheus.total("ticks_total") == 1 + 5, other.log)

    assert other.said(DROPPED) == []


def test_they_cost_those_of_their_own_batch(
    agents: list[Collector], prometheus: Prometheus
) -> None:
    """A limit, as docs/collector.md has it: what an agent sent with them is refused too, and the
    next point of each series says it all."""
    agent, _ = agents
    send(agent, point("old", 3, age_s=2 * WINDOW_S), point("fresh", 5))
    until(lambda: agent.said(DROPPED), agent.log)
    refused = prometheus.total('ticks_total{job="fresh"}')
    send(agent, point("old", 4), point("fresh", 6))
    until(lambda: prometheus.total("ticks_total") == 1 + 4 + 6, agent.log)

    assert refused == 0


def send(agent: Collector, *resources: dict[str, Any]) -> None:
    """Let services send to their agent, in one request."""
    request = urllib.request.Request(
        f"http://{agent.http}/v1/metrics",
        json.dumps({"resourceMetrics": resources}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S):
        pass


def point(service: str, value: int, *, age_s: float = 0) -> dict[str, Any]:
    """Return a point of a service's counter, made a time ago, as OTLP JSON has it."""
    made = {"timeUnixNano": str(int((time.time() - age_s) * 1e9)), "asInt": str(value)}
    counter = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [made]}
    attribute = {"key": "service.name", "value": {"stringValue": service}}
    return {
        "resource": {"attributes": [attribute]},
        "scopeMetrics": [{"metrics": [{"name": "ticks", "sum": counter}]}],
    }

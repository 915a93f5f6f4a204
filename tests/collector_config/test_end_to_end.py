"""From a service over agent and gateway into Prometheus 3: every total is the recorded one, also
when the agent or the gateway was dead meanwhile."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collector_config.chain import Chain, chain
from tests.collector_config.naming import differences
from tests.collector_config.outages import agent_killed, gateway_killed
from tests.collector_config.running import until
from tests.collector_config.totals import archived, counting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.component("otelcol"),
    pytest.mark.component("prometheus3"),
    pytest.mark.timeout(240),
]

OUTAGE_S = 10.0
"""`make torture ARGS="--only collector"` has a minute."""


@pytest.fixture
def way(component: Callable[[str], str], tmp_path: Path) -> Iterator[Chain]:
    """A running agent, gateway and Prometheus."""
    otelcol, prometheus3 = component("otelcol"), component("prometheus3")
    with chain(tmp_path, otelcol=otelcol, prometheus3=prometheus3) as started:
        yield started


def test_what_the_demo_recorded_is_what_promql_finds(way: Chain, tmp_path: Path) -> None:
    """Every counter, count and sum of `otel-metrics demo`, to the last bit, through agent, gateway
    and Prometheus."""
    env = {
        **os.environ,
        **way.variables,
        "OTEL_METRICS_EXPORTER": "ndjson,otlp",
        "OTEL_METRIC_EXPORT_INTERVAL": "1s",
    }
    command = [sys.executable, "-m", "otel_metrics", "demo", "--files", "150"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=60)
    wanted = archived(tmp_path / "telemetry")

    def missing() -> list[str]:
        return differences(wanted, counting(way.prometheus.query))

    until(lambda: not missing(), lambda: "\n".join(missing()))

    executions = sum(
        value for (name, _), value in wanted.items() if name == "skill_executions_total"
    )
    assert way.prometheus.total("sum(skill_executions_total)") == executions >= 150


WORKERS = """
import multiprocessing
import otel_metrics
from otel_metrics import skills

def work(requests):
    for number in range(requests):
        with skills.execution("triage", agent=f"agent-{number % 3}") as run:
            run.outcome("urgent", expected="urgent" if number % 4 else "later", confidence=0.25)

telemetry = otel_metrics.configure()
work(100)
context = multiprocessing.get_context("fork")
workers = [context.Process(target=work, args=(1000 * each,)) for each in (1, 2, 3)]
for each in workers: each.start()
for each in workers: each.join()
"""


def test_the_workers_of_a_service_are_added_up(way: Chain, tmp_path: Path) -> None:
    """Of a process and three workers that it forked, sums over instances are what all recorded."""
    env = {**os.environ, **way.variables, "OTEL_METRICS_EXPORTER": "otlp"}
    env["OTEL_PYTHON_METRICS_EXIT_TIMEOUT"] = "30s"
    subprocess.run([sys.executable, "-c", WORKERS], cwd=tmp_path, env=env, check=True, timeout=60)
    requests = 100 + 1_000 + 2_000 + 3_000
    right = {
        "sum(skill_executions_total)": requests,
        'sum(skill_outcomes_total{skill_outcome="incorrect"})': requests / 4,
        'sum(skill_executions_total{gen_ai_agent_name="agent-0"})': 34 + 334 + 667 + 1_000,
        "sum(skill_outcome_confidence_count)": requests,
        "sum(skill_outcome_confidence_sum)": requests / 4,
        "count(count by (instance) (skill_executions_total))": 4,
    }
    until(lambda: way.prometheus.total("sum(skill_executions_total)") >= requests, way.logs)

    assert {query: way.prometheus.total(query) for query in right} == right


def test_a_dead_agent_costs_nothing(way: Chain, tmp_path: Path) -> None:
    """Killed under load and started again: totals are exact, and the service has logged that it
    went and that it came back."""
    outage = agent_killed(way, tmp_path / "desk", outage_s=OUTAGE_S)

    assert outage.faults == []
    assert outage.requests > 0
    assert ["down" in outage.lines[0], "up again" in outage.lines[1]] == [True, True]


def test_a_dead_gateway_costs_nothing(way: Chain, tmp_path: Path) -> None:
    """Killed under load, and the agent after it: every point that the agent took is delivered from
    its disk, after the service has ended, and the service has noticed nothing."""
    outage = gateway_killed(way, tmp_path / "desk", outage_s=OUTAGE_S)

    assert outage.faults == []
    assert outage.requests > 0
    assert outage.lines == []
    assert outage.points[0] == outage.points[1] > OUTAGE_S


def test_without_the_agents_disk_it_is_lost(way: Chain, tmp_path: Path) -> None:
    """The control: when the queue's folder is emptied while both are dead, nothing arrives of what
    was recorded during the outage."""
    queue = way.agent.folder / "queue"
    outage = gateway_killed(
        way, tmp_path / "desk", outage_s=3, between=lambda: shutil.rmtree(queue), backlog_s=10
    )

    assert outage.faults
    assert outage.points[0] > outage.points[1]

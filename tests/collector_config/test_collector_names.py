"""The alerts on collectors: they ask for what the collector that we build really shows."""

import contextlib
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from otel_metrics.catalog import builtin
from otel_metrics.render.prometheus import groups
from otel_metrics.render.rules import Alert
from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.names import metrics_of
from tests.collector_config.running import DEADLINE_S, asked, free_port, until

CANNOT_DELIVER = {
    "endpoint": "localhost:1",
    "tls": {"insecure": True},
    "sending_queue": {"queue_size": 1, "num_consumers": 1},
}
POINT = {"asDouble": 1, "timeUnixNano": "1"}
METRICS = {
    "resourceMetrics": [
        {"scopeMetrics": [{"metrics": [{"name": "x", "gauge": {"dataPoints": [POINT]}}]}]}
    ]
}

FAILED = re.compile(r'^(otelcol_exporter_\w+_failed_metric_points)\{[^}]*exporter="([^"]*)"', re.M)
"""What a collector's page counts as failed, and the exporter."""


@contextmanager
def collecting(program: str, folder: Path, *, bare: bool) -> Iterator[tuple[str, str]]:
    """Run a collector that cannot deliver, with room for one batch; give its two URLs.

    Args:
        bare: show counters without `_total`, which is the default.
    """
    with free_port() as otlp, free_port() as telemetry:
        page = {"host": "localhost", "port": telemetry, "without_type_suffix": bare}
        reader = {"pull": {"exporter": {"prometheus": page}}}
        configuration = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"localhost:{otlp}"}}}},
            "exporters": {"otlp_grpc": CANNOT_DELIVER},
            "service": {
                "telemetry": {"metrics": {"readers": [reader]}},
                "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["otlp_grpc"]}},
            },
        }
        path = folder / "collector.yaml"
        path.write_text(yaml.safe_dump(configuration))
        with open(folder / "collector.log", "wb") as log:
            process = subprocess.Popen([program, f"--config=file:{path}"], stdout=log, stderr=log)
        try:
            yield f"http://localhost:{otlp}/v1/metrics", f"http://localhost:{telemetry}/metrics"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def send(url: str) -> None:
    """Send a point; a collector that starts, or whose queue is full, refuses it."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(METRICS).encode(), headers)
    try:
        urllib.request.urlopen(request, timeout=DEADLINE_S).close()
    except urllib.error.HTTPError as error:
        error.close()


@pytest.mark.slow
@pytest.mark.component("otelcol")
@pytest.mark.parametrize(("bare", "ending"), [(True, ""), (False, "_total")])
def test_a_collector_that_cannot_deliver_shows_what_the_alerts_ask_for(
    component: Callable[[str], str], tmp_path: Path, bare: bool, ending: str
) -> None:
    """Points without room, and how full the queue is, under the names in the rules."""
    named: set[str] = set()
    for group in groups(builtin()):
        for rule in group.rules:
            if isinstance(rule, Alert) and rule.alert.startswith("Collector"):
                named |= metrics_of(rule.expr)

    shown: set[str] = set()

    def refuses(otlp: str, telemetry: str) -> bool:
        with contextlib.suppress(OSError):
            send(otlp)
            shown.update(re.findall(r"^(otelcol_\w+)\{", asked(telemetry), re.MULTILINE))
        return any("enqueue_failed" in name for name in shown)

    with collecting(component("otelcol"), tmp_path, bare=bare) as urls:
        until(lambda: refuses(*urls), (tmp_path / "collector.log").read_text)

    assert named & shown == {
        f"otelcol_exporter_enqueue_failed_metric_points{ending}",
        "otelcol_exporter_queue_capacity",
        "otelcol_exporter_queue_size",
    }


@pytest.mark.slow
@pytest.mark.component("otelcol")
def test_a_store_that_is_away_counts_at_the_gateway_and_not_at_the_agent(
    collector: MakeCollector, service: MakeService
) -> None:
    """Why the alert leaves the gateway's exporters out: the agent, which has the data, repeats."""
    gateway = collector("gateway", env={"OTELCOL_PROMETHEUS_URL": "http://localhost:1"}).start()
    agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()
    (expr,) = (
        rule.expr
        for group in groups(builtin())
        for rule in group.rules
        if isinstance(rule, Alert) and rule.alert == "CollectorRefusesData"
    )
    left_out = re.findall(r'exporter!~"([^"]*)"', expr)[0]

    service("desk", agent.grpc, {"OTEL_LOGS_EXPORTER": "none"}).record(3)
    until(lambda: agent.said("Will retry", '"metrics"'), agent.log)
    until(lambda: FAILED.findall(gateway.own_page()), gateway.log)

    counted = dict(FAILED.findall(gateway.own_page()))
    assert set(counted) <= metrics_of(expr)
    assert all(re.fullmatch(left_out, exporter) for exporter in counted.values())
    assert FAILED.findall(agent.own_page()) == []

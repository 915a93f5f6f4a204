"""The alerts on collectors: they ask for what the collector that we build really shows."""

import json
import re
import socket
import subprocess
import time
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
from tests.collector_config.names import metrics_of

DEADLINE_S = 60.0
POLL_S = 0.1
POINT = {"asDouble": 1, "timeUnixNano": "1"}
METRICS = {
    "resourceMetrics": [
        {"scopeMetrics": [{"metrics": [{"name": "x", "gauge": {"dataPoints": [POINT]}}]}]}
    ]
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def collecting(program: str, folder: Path, *, bare: bool) -> Iterator[tuple[str, str]]:
    """Run a collector that cannot deliver, with room for one batch; give its two URLs.

    Args:
        bare: show counters without `_total`, which is the default.
    """
    otlp, telemetry = free_port(), free_port()
    page = {"host": "localhost", "port": telemetry, "without_type_suffix": bare}
    reader = {"pull": {"exporter": {"prometheus": page}}}
    configuration = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"localhost:{otlp}"}}}},
        "exporters": {
            "otlp_grpc": {
                "endpoint": "localhost:1",
                "tls": {"insecure": True},
                "sending_queue": {"queue_size": 1, "num_consumers": 1},
            }
        },
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
    asked: set[str] = set()
    for group in groups(builtin()):
        for rule in group.rules:
            if isinstance(rule, Alert) and rule.alert.startswith("Collector"):
                asked |= metrics_of(rule.expr)

    with collecting(component("otelcol"), tmp_path, bare=bare) as (otlp, telemetry):
        shown: set[str] = set()
        deadline = time.monotonic() + DEADLINE_S
        while not any("enqueue_failed" in name for name in shown):
            assert time.monotonic() < deadline, (tmp_path / "collector.log").read_text()
            try:
                send(otlp)
                with urllib.request.urlopen(telemetry, timeout=DEADLINE_S) as page:
                    shown = set(re.findall(r"^(otelcol_\w+)\{", page.read().decode(), re.MULTILINE))
            except OSError:
                time.sleep(POLL_S)

    assert asked & shown == {
        f"otelcol_exporter_enqueue_failed_metric_points{ending}",
        "otelcol_exporter_queue_capacity",
        "otelcol_exporter_queue_size",
    }

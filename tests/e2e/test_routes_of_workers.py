"""A service's own routes answer for all of its workers, whichever of them is asked."""

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.services import PATIENCE_S, Service, free_port, parse, until

WORKERS = 3
REQUESTS = 60

APP = """
import os, time
import otel_metrics
from opentelemetry import metrics
from otel_metrics.web import routes
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

otel_metrics.configure()
counter = metrics.get_meter("app").create_counter("asked")
counter.add(0)
gauge = metrics.get_meter("app").create_up_down_counter("workers")
gauge.add(1)

def ask(request):
    counter.add(1)
    time.sleep(0.02)
    return PlainTextResponse(str(os.getpid()))

app = Starlette(routes=[*routes(), Route("/ask", ask)])
"""


def get(port: int, path: str) -> str:
    """Ask on a connection of its own, so that any worker may take it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.slow
def test_every_worker_answers_for_all(tmp_path: Path) -> None:
    """Without a port of the page, and from the first second of a worker that nobody has asked."""
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--log-level", "warning"]
    service = Service(
        tmp_path,
        command=[*uvicorn, "--port", str(port), "--workers", str(WORKERS)],
        env={"OTEL_METRICS_EXPORTER": "ndjson"},
    )
    try:
        until(lambda: _workers(port) == WORKERS, what="not every worker is on the page")
        with ThreadPoolExecutor(WORKERS * 4) as pool:  # so many that one worker is not enough
            asked = set(pool.map(lambda _: get(port, "/ask"), range(REQUESTS)))
        until(lambda: _asked(port) == REQUESTS)

        assert len(asked) > 1
        assert {_asked(port) for _ in range(10)} == {REQUESTS}
        assert json.loads(get(port, "/healthz"))["status"] == "ok"
    finally:
        service.process.terminate()
        service.process.wait(PATIENCE_S)
        service.kill()


def _workers(port: int) -> float:
    try:
        return parse(get(port, "/metrics")).total("workers")
    except OSError:
        return 0


def _asked(port: int) -> float:
    return parse(get(port, "/metrics")).total("asked_total")

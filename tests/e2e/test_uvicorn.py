"""uvicorn with workers, which it spawns: one page, exact."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.load import Load
from tests.e2e.services import Scraper, Service, free_port, until

pytestmark = pytest.mark.slow

WORKERS = 3
REQUESTS = 300
APP = """
import os
import otel_metrics
from opentelemetry import metrics
otel_metrics.configure()
requests = metrics.get_meter("shop").create_counter("shop.requests")
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    requests.add(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def test_workers_share_one_page(service: Callable[..., Service], tmp_path: Path) -> None:
    """Each counts for itself, whoever answers; one that is killed stays on the page."""
    (tmp_path / "shop.py").write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--lifespan", "off"]
    program = service(command=[*command, "--port", f"{port}", "--workers", f"{WORKERS}"])
    with (
        Load(port) as load,
        Scraper(program, {"shop_requests_total": lambda: load.sent}) as scraper,
    ):
        until(lambda: load.total > REQUESTS and len(load.answered) == WORKERS)
    until(lambda: program.page().total("shop_requests_total") == load.total)
    os.kill(program.owner(), signal.SIGKILL)
    shown = program.page().total("shop_requests_total")

    assert scraper.wrong == []
    assert shown == load.total

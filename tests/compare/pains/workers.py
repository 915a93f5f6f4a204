"""Several workers, one service: which of them answers a scrape decides what is counted."""

import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.compare.attach import OURS
from tests.compare.lab import Lab, free_port, summed, wait_for
from tests.compare.pain import Pain

__all__ = ["PAIN"]

WORKERS: Final = 4
ORDERS: Final = 200
SCRAPES: Final = 30
SETTLED_S: Final = 5.0
"""Workers may take this long until what they counted is on the page."""

PLAIN: Final = """
import time
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import make_wsgi_app

metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
orders = metrics.get_meter("shop").create_counter("orders")
page = make_wsgi_app()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        return page(environ, start_response)
    orders.add(1)
    time.sleep(0.01)
    start_response("200 OK", [])
    return [b"ordered"]
"""

OURS_PROGRAM: Final = (
    "import time\n"
    + OURS
    + """
orders = metrics.get_meter("shop").create_counter("orders")

def application(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        start_response("404 Not Found", [])
        return [b"the page has a port of its own"]
    orders.add(1)
    time.sleep(0.01)
    start_response("200 OK", [])
    return [b"ordered"]
"""
)


def measure(lab: Lab, program: str) -> list[float]:
    """Order, then scrape again and again: what each scrape says was ordered."""
    port = free_port()
    gunicorn = [sys.executable, "-m", "gunicorn", "program:application"]
    lab.start(program, command=[*gunicorn, f"--workers={WORKERS}", f"--bind=127.0.0.1:{port}"])
    if not wait_for(lambda: lab.page(port)[0] != 0, timeout_s=20):
        raise RuntimeError("gunicorn does not answer")
    page_port = port if lab.page(port)[0] == 200 else lab.page_port

    def order(_: int) -> None:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(order, range(ORDERS)))

    def scrape() -> float:
        return summed(lab.page(page_port)[1], "orders_total")

    wait_for(lambda: scrape() == ORDERS, timeout_s=SETTLED_S)
    return [scrape() for _ in range(SCRAPES)]


def shown(scrapes: list[float]) -> str:
    lowest, highest = min(scrapes), max(scrapes)
    between = f"{lowest:.0f}" if lowest == highest else f"{lowest:.0f} to {highest:.0f}"
    return f"{between} of {ORDERS} orders"


PAIN: Final = Pain(
    title=f"{WORKERS} gunicorn workers: what `/metrics` counts",
    reported=(
        "open-telemetry/opentelemetry-python#3747",
        "open-telemetry/opentelemetry-python#3885",
    ),
    plain=PLAIN,
    ours=OURS_PROGRAM,
    measure=measure,
    hurts=lambda scrapes: set(scrapes) != {ORDERS},
    shown=shown,
)

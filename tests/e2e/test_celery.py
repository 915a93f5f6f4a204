"""Celery's prefork pool runs real tasks: exact after a warm shutdown, and one page."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.services import Service, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

TASKS = 60
APP = """
import time
import celery
from celery import signals
import otel_metrics
from opentelemetry import metrics
CONFIGURE
orders = metrics.get_meter("shop").create_counter("shop.orders")
app = celery.Celery("shop", broker="filesystem://")
folders = ("data_folder_in", "data_folder_out", "control_folder")
app.conf.broker_transport_options = dict.fromkeys(folders, "broker")
@app.task
def order(count):
    time.sleep(0.02)  # or one process would do all
    orders.add(count)
"""
CONFIGURE = {
    "by the module": "otel_metrics.configure()",
    "by each process": """
@signals.worker_process_init.connect
def start(**_):
    otel_metrics.configure()
""",
}
SEND = f"""
import shop
for _ in range({TASKS}):
    shop.order.delay(2)
"""
WORKER = ["-m", "celery", "--app", "shop", "worker", "--pool", "prefork", "--concurrency", "3"]


@pytest.mark.parametrize(
    ("how", "options"),
    [("by the module", []), ("by each process", ["--max-tasks-per-child", "7"])],
    ids=["module", "each process, and turnover"],
)
def test_a_prefork_pool(
    service: Callable[..., Service],
    archived: "Archived",
    tmp_path: Path,
    how: str,
    options: list[str],
) -> None:
    """What its processes count is on one page, and in the archive when the worker has ended."""
    (tmp_path / "broker").mkdir()
    (tmp_path / "shop.py").write_text(APP.replace("CONFIGURE", CONFIGURE[how]))
    worker = service(command=[sys.executable, *WORKER, *options])
    client = service(SEND, env={"OTEL_METRICS_EXPORTER": "none"})
    client.end()
    until(lambda: worker.page().total("shop_orders_total") == 2 * TASKS)
    worker.process.send_signal(signal.SIGTERM)
    worker.end()

    counted = archived.by_writer("shop.orders")
    assert sum(counted.values()) == 2 * TASKS
    assert len(counted) >= (TASKS // 7 if options else 2)

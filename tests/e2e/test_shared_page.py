"""One page of several processes: how each kind of metric merges, and whose page it is."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.services import Samples, Service, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

GAUGE = """
  - name: shop.queue.{rule}
    brief: Waiting orders.
    instrument: gauge
    unit: "{{order}}"
    stability: development
    attributes: []
    annotations: {{prometheus: shop_queue_{rule}, value_type: int, merge: {rule}}}
"""
RULES = ["min", "max", "sum", "newest"]
CATALOG = "file_format: definition/2\nmetrics:" + "".join(GAUGE.format(rule=rule) for rule in RULES)
VALUES = [2, 3, 1]
"""What the children set, one after the other."""
COUNTED = [6, 3, 6, 6]
"""What they count: see `counts`."""
PROCESSES = """
import os, signal
import otel_metrics
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider, Histogram
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from otel_metrics import instruments
view = View(instrument_name="shop.wait", aggregation=ExponentialBucketHistogramAggregation())
metrics.set_meter_provider(MeterProvider(views=[view], shutdown_on_exit=False))
telemetry = otel_metrics.configure()
meter = metrics.get_meter("shop")
orders = meter.create_counter("shop.orders")
waiting = meter.create_up_down_counter("shop.waiting")
wait = meter.create_histogram("shop.wait")
size = meter.create_histogram("shop.size", explicit_bucket_boundaries_advisory=[1.5, 2.5])
temperature = meter.create_gauge("shop.temperature")
for value in VALUES:
    child = os.fork()
    if child == 0:
        for rule in ("min", "max", "sum", "newest"):
            instruments.metric(f"shop.queue.{rule}").set(value)
        temperature.set(value)
        orders.add(value)
        waiting.add(value)
        wait.record(value)
        size.record(value)
        signal.pause()
    print("child", value, child)
    os.read(0, 1)
os.read(0, 1)
"""


@pytest.fixture
def processes(service: Callable[..., Service], tmp_path: Path) -> tuple[Service, dict[int, int]]:
    """Three children that have each set or counted a number; which each is, by that."""
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    program = service(
        PROCESSES.replace("VALUES", str(VALUES)),
        env={"OTEL_PYTHON_METRICS_CATALOG": "catalog.yaml"},
    )
    for number in range(1, len(VALUES) + 1):
        # The next one begins when the page has this one's: a gauge's value is as old as that.
        until(lambda: program.page().total("shop_orders_total") == sum(VALUES[:number]))  # noqa: B023 # called here
        program.go()
    said = [line.split() for line in program.said().splitlines() if line.startswith("child")]
    return program, {int(value): int(child) for _, value, child in said}


NAMES = {
    **{rule: f"shop_queue_{rule}" for rule in RULES},
    "no rule": "shop_temperature",
    "up and down": "shop_waiting",
}


def gauges(page: Samples) -> dict[str, float]:
    """Return the gauges of a page that have a value, by rule."""
    return {rule: page.total(name) for rule, name in NAMES.items() if page.series(name)}


def counts(page: Samples) -> list[float]:
    """Return what a page counts: that stays when a process has ended."""
    names = ["shop_orders_total", "shop_wait_count", "shop_wait_sum", "shop_size_sum"]
    return [page.total(name) for name in names]


def test_gauges_merge_as_the_catalog_says(processes: tuple[Service, dict[int, int]]) -> None:
    """By min, max, sum or the newest; of the living only. What was counted stays."""
    program, children = processes
    seen = []
    for value in (3, 1, 2):
        seen.append((gauges(program.page()), counts(program.page())))
        os.kill(children[value], signal.SIGKILL)
        until(lambda: gauges(program.page()) != seen[-1][0])
    seen.append((gauges(program.page()), counts(program.page())))

    def expected(least: int, most: int, total: int, newest: int) -> dict[str, float]:
        rules = {"min": least, "max": most, "sum": total, "newest": newest}
        return {**rules, "no rule": newest, "up and down": total}

    assert [found for found, _ in seen] == [
        expected(1, 3, 6, 1),
        expected(1, 2, 3, 1),
        expected(2, 2, 2, 2),
        {},
    ]
    assert [counted for _, counted in seen] == [COUNTED] * 4


def test_histograms_merge_bucket_by_bucket(processes: tuple[Service, dict[int, int]]) -> None:
    """Those with bounds of their own, and exponential ones, in powers of two; the dead included."""
    program, children = processes
    for child in children.values():
        os.kill(child, signal.SIGKILL)
    until(lambda: gauges(program.page()) == {})
    page = program.page()

    assert page.series("shop_size_bucket") == {
        'le="1.5"': 1,
        'le="2.5"': 2,
        'le="+Inf"': 3,
    }
    assert page.series("shop_wait_bucket") == {
        'le="0.0"': 0,
        'le="1.0"': 1,
        'le="2.0"': 2,
        'le="4.0"': 3,
        'le="+Inf"': 3,
    }


def test_there_is_one_target_info(processes: tuple[Service, dict[int, int]]) -> None:
    """It names the service, and no process of it."""
    program, _ = processes
    (labels,) = program.page().series("target_info")

    assert f'service_name="{program.name}"' in labels
    assert "instance" not in labels
    assert "process" not in labels


SINGLE = """
import os
import otel_metrics
from opentelemetry import metrics
telemetry = otel_metrics.configure()
counter = metrics.get_meter("shop").create_counter("shop.orders")
counter.add(NUMBER)
assert telemetry.flush(10).ok
print("ready")
os.read(0, 1)
"""


def test_two_services_on_two_ports_keep_apart(service: Callable[..., Service]) -> None:
    """Each shows its own numbers only."""
    one = service(SINGLE.replace("NUMBER", "1"))
    other = service(SINGLE.replace("NUMBER", "2"))
    one.await_line("ready")
    other.await_line("ready")

    assert one.page().total("shop_orders_total") == 1
    assert other.page().total("shop_orders_total") == 2


def test_two_services_on_one_port(service: Callable[..., Service], archived: "Archived") -> None:
    """The second says so once and runs without a page, its archive goes on; it has the page when
    the first has ended."""
    one = service(SINGLE.replace("NUMBER", "1"))
    one.await_line("ready")
    other = service(SINGLE.replace("NUMBER", "2"), port=one.port)
    other.await_line("ready")
    shown, kept = one.page().total("shop_orders_total"), archived.total("shop.orders")
    complaint = [line for line in other.said().splitlines() if line != "ready"]
    one.go()
    one.end()
    until(lambda: other.page().total("shop_orders_total") == 2)

    assert shown == 1
    assert kept == 3
    assert len(complaint) == 1
    assert str(one.port) in complaint[0]

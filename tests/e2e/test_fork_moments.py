"""A fork at the worst moment, while another thread is inside the SDK or `configure()`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.e2e.services import Receiver, Service

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

START = """
import os, sys, threading, time
import otel_metrics
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_metrics import instruments

inside, release = threading.Event(), threading.Event()
def block():
    if not release.is_set():
        inside.set()
        release.wait()

def in_thread(work):
    threading.Thread(target=work, daemon=True).start()
    assert inside.wait(10)

def fork(work):
    child = os.fork()
    if child == 0:
        release.set()
        work()
        sys.exit()
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.01)
    assert ended == (child, 0), ended
    release.set()

own = InMemoryMetricReader()
def counted():
    return [
        point.value
        for resource in own.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "shop.orders"
        for point in metric.data.data_points
    ]
"""
CONFIGURED = """
provider = MeterProvider([own], shutdown_on_exit=False)
metrics.set_meter_provider(provider)
telemetry = otel_metrics.configure()
meter = metrics.get_meter("shop")
counter = meter.create_counter("shop.orders")
counter.add(100)
assert telemetry.flush(10).ok
def child():
    counter.add(10)
    assert counted() == [10], counted()
    result = telemetry.flush(10)
    assert result.ok, result
"""
COLLECTING = """
def callback(options):
    block()
    return [metrics.Observation(1)]
meter.create_observable_gauge("shop.waiting", [callback])
in_thread(own.get_metrics_data)
fork(child)
"""
CREATING = """
class Callbacks(list):
    def __iter__(self):
        block()
        return super().__iter__()
def create():
    meter.create_observable_gauge("shop.waiting", Callbacks())
in_thread(create)
def create_and_count():
    create()
    meter.create_up_down_counter("shop.open").add(1)
    child()
fork(create_and_count)
"""
MOMENTS = {"collecting": COLLECTING, "creating an instrument": CREATING}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_child_of_a_thread_that_is_gone(
    service: Callable[..., Service], archived: "Archived", moment: str
) -> None:
    """While a thread holds a lock of the SDK, a child neither hangs nor counts what is not its."""
    service(START + CONFIGURED + MOMENTS[moment]).end()

    assert sorted(archived.by_writer("shop.orders").values()) == [10, 100]


LOADING = """
import importlib.abc
class SlowDisk(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "MODULE":
            inside.set()
            time.sleep(1.5)
sys.meta_path.insert(0, SlowDisk())
telemetry = otel_metrics.configure()
counter = metrics.get_meter("shop").create_counter("shop.orders")
counter.add(100)
in_thread(telemetry.flush)
def child():
    counter.add(10)
    result = telemetry.flush(10)
    assert result.ok, result
fork(child)
"""


@pytest.mark.parametrize("module", ["genai_prices", "otel_metrics.pipeline.otlp_encoding"])
def test_a_child_of_a_thread_of_ours_that_imports(
    exporting: Callable[..., Service], archived: "Archived", receiver: Receiver, module: str
) -> None:
    """A child could never import what a thread of its parent is loading, so the fork waits."""
    exporting(START + LOADING.replace("MODULE", module)).end()

    assert archived.total("shop.orders") == receiver.total("shop.orders") == 110


CONFIGURING = """
from otel_metrics.autoconfig import assembly  # an import under way is Python's own to hang on
class Slow(MeterProvider):
    def MOMENT(self, *given, **named):
        block()
        return super().MOMENT(*given, **named)
metrics.set_meter_provider(Slow([own], shutdown_on_exit=False))
counter = metrics.get_meter("shop").create_counter("shop.orders")
"""
"""Two moments of `configure()`: before it has a reader, and while handles are bound."""


@pytest.mark.parametrize("moment", ["add_metric_reader", "get_meter"])
def test_a_child_of_a_configure_under_way_records(
    service: Callable[..., Service], moment: str
) -> None:
    """It has no telemetry, and does not hang."""
    service(
        START
        + "release.set()\n"
        + CONFIGURING.replace("MOMENT", moment)
        + """
release.clear()
in_thread(otel_metrics.configure)
def record():
    for name in instruments.catalog().metrics:
        instruments.metric(name).add(1)
fork(record)
"""
    ).end()


@pytest.mark.parametrize("moment", ["add_metric_reader", "get_meter", "add_log_record_processor"])
def test_a_child_of_a_configure_under_way_configures(
    service: Callable[..., Service], archived: "Archived", moment: str
) -> None:
    """It starts telemetry for itself, and counts once; so does the parent."""
    service(
        START
        + "release.set()\n"
        + CONFIGURING.replace("MOMENT", moment)
        + """
from opentelemetry.sdk._logs import LoggerProvider
class SlowLogs(LoggerProvider):
    def add_log_record_processor(self, *given):
        block()
        return super().add_log_record_processor(*given)
logs = SlowLogs(shutdown_on_exit=False)
release.clear()
def configure():
    return otel_metrics.configure(logger_provider=logs)
def configure_and_count(value):
    telemetry = configure()
    counter.add(value)
    instruments.metric("skill.executions").add(value, {"gen_ai.skill.name": "x"})
    ending = time.monotonic() + 0.2  # ten intervals, in which a second hub would export too
    while time.monotonic() < ending:
        assert telemetry.flush(10).ok
in_thread(configure)
fork(lambda: configure_and_count(10))
configure_and_count(100)
""",
        env={"OTEL_METRIC_EXPORT_INTERVAL": "20"},
    ).end()

    assert sorted(archived.by_writer("shop.orders").values()) == [10, 100]
    assert sorted(archived.by_writer("skill.executions").values()) == [10, 100]

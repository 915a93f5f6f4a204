"""What too many attribute sets cost a real service: bounded memory, exact totals, one line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived, Run

pytestmark = pytest.mark.slow

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "cardinality.py"


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge"])
def test_a_million_attribute_sets_add_at_most_twenty_mebibytes(kind: str) -> None:
    """Whatever the instrument, what is over its budget is not kept."""
    command = [sys.executable, str(BENCHMARK), "--kind", kind, "--side", "ours"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=110)

    assert json.loads(done.stdout)["mib"] <= 20


UNKEPT = """
import os, gc, otel_metrics
from otel_metrics import instruments
def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
telemetry = otel_metrics.configure(metrics_exporter="ndjson", host_metrics="off")
handle = instruments.metric("skill.executions")
telemetry.flush(10)
telemetry.flush(10)
gc.collect()
before = resident_mib()
for number in range(1_000):
    handle.add(1, {"gen_ai.skill.name": "x", "user.id": f"{number:0100000}"})
    handle.add(1, {"gen_ai.skill.name": f"{number:0100000}"})
print(resident_mib() - before)
"""


def test_what_is_dropped_or_cut_is_not_kept(run: "Run") -> None:
    """A thousand long texts, under an unlisted key and under a listed one, leave nothing behind."""
    assert float(run(UNKEPT).stdout) <= 20


OWN_INSTRUMENT = """
import os, gc, sys, time, urllib.request, otel_metrics
from opentelemetry import metrics
def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def scrape():
    address = f"http://127.0.0.1:{telemetry.metrics_port}/metrics"
    return urllib.request.urlopen(address).read().decode()
telemetry = otel_metrics.configure()
counter = metrics.get_meter("shop").create_counter("orders")
telemetry.flush(10)
scrape()
gc.collect()
before = resident_mib()
for number in range(100_000):
    counter.add(1, {"route": "/pay", "user": f"u{number}"})
scrape()
begun = time.monotonic()
page = scrape()
took_s = time.monotonic() - begun
series = [line for line in page.splitlines() if line.startswith("orders_total{")]
assert len(series) == 2_002, len(series)
assert 'metric_overflow_total{metric="orders"} 1' in page
assert took_s < 2, took_s
assert resident_mib() - before <= 50, resident_mib() - before
"""


def test_a_service_s_own_instrument_is_bounded_and_its_overflow_told(
    run: "Run", archived: "Archived"
) -> None:
    """A raw instrument with 10^5 sets: no more series than the limit, one line, no count lost."""
    (line,) = run(OWN_INSTRUMENT).stderr.splitlines()

    assert "orders: more than 2001 attribute sets" in line
    assert "attribute user, 2001 of them" in line
    assert archived.total("orders") == 100_000


MANY_NAMES = """
import urllib.request, otel_metrics
from opentelemetry import metrics
telemetry = otel_metrics.configure()
meter = metrics.get_meter("shop")
for number in range(10_000):
    meter.create_counter(f"orders.{number}").add(1, {"user": str(number)})
assert telemetry.flush(30).ok
address = f"http://127.0.0.1:{telemetry.metrics_port}/metrics"
page = urllib.request.urlopen(address).read().decode()
print(page.count("# TYPE orders_"))
"""


def test_ten_thousand_instruments_leave_a_page_of_two_thousand(
    run: "Run", archived: "Archived"
) -> None:
    """The page has a cap of families; the archive has them all."""
    done = run(MANY_NAMES)

    assert int(done.stdout) <= 2_000
    assert len({line["metric"] for line in archived.lines("describe")}) >= 10_000

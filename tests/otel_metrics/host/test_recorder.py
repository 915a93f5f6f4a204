"""Host figures in a real collection on this machine."""

import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from otel_metrics import host
from otel_metrics.catalog.loader import builtin
from otel_metrics.testing import Captured, capture

EVERYWHERE = {
    "system.cpu.time",
    "system.memory.usage",
    "system.memory.utilization",
    "system.memory.limit",
    "system.uptime",
    "process.cpu.time",
    "process.memory.usage",
    "process.thread.count",
    "process.unix.file_descriptor.count",
    "process.uptime",
    "cpython.gc.collections",
}
"""What every Linux machine has; disks, networks and containers are not everywhere."""


def test_every_host_metric_of_the_catalog_is_fed() -> None:
    """And no other: strict mode would raise."""
    declared = {name for name, metric in builtin().metrics.items() if metric.domain == "host"}
    with capture() as seen:
        host.start()
        found = {name for name in seen.names() if name in declared}

    assert EVERYWHERE <= found <= declared


def test_points_carry_only_what_the_catalog_lists(captured_telemetry: Captured) -> None:
    """Callbacks are not filtered, so they must be right."""
    host.start("per_core")

    strays = {
        (name, key)
        for name, metric in builtin().metrics.items()
        if metric.domain == "host"
        for point in captured_telemetry.points(name)
        for key in point.attributes or {}
        if key not in metric.attributes
    }
    assert strays == set()


def test_no_host_metric_when_it_is_off(captured_telemetry: Captured) -> None:
    """`OTEL_PYTHON_METRICS_HOST_METRICS=off`."""
    host.start("off")

    assert captured_telemetry.names().isdisjoint(EVERYWHERE)


def test_the_process_is_this_one(captured_telemetry: Captured) -> None:
    """Its memory, threads and time are those that the system knows."""
    host.start()

    memory = captured_telemetry.value("process.memory.usage")
    assert memory == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert captured_telemetry.value("process.thread.count") >= threading.active_count()
    user = captured_telemetry.value("process.cpu.time", {"cpu.mode": "user"})
    assert 0 < user <= os.times().user
    assert captured_telemetry.value("process.unix.file_descriptor.count") > 2


def test_uptimes_are_in_seconds(captured_telemetry: Captured) -> None:
    """The process is younger than the machine."""
    host.start()

    process = captured_telemetry.value("process.uptime")
    assert process == pytest.approx(time.time() - psutil.Process().create_time(), abs=5)
    assert process < captured_telemetry.value("system.uptime")


def test_the_garbage_collector_has_three_generations(captured_telemetry: Captured) -> None:
    """Their runs are counted apart."""
    host.start()

    points = captured_telemetry.points("cpython.gc.collections")
    assert {point.attributes["cpython.gc.generation"] for point in points} == {0, 1, 2}  # type: ignore[index]  # a point of ours has attributes


def test_the_root_filesystem_is_reported(captured_telemetry: Captured) -> None:
    """Its states add up to its size."""
    host.start()

    points = captured_telemetry.points("system.filesystem.usage")
    size = sum(
        point.value  # type: ignore[union-attr,misc]  # of a sum
        for point in points
        if (point.attributes or {})["system.filesystem.mountpoint"] == "/"
    )
    found = os.statvfs("/")
    assert size in (0, found.f_blocks * found.f_frsize)  # 0: the root is a network filesystem


def test_starting_again_changes_nothing(captured_telemetry: Captured) -> None:
    """No figure is reported twice."""
    host.start()
    before = len(captured_telemetry.points("system.cpu.time"))
    host.start()

    assert len(captured_telemetry.points("system.cpu.time")) == before


def test_a_collection_costs_little(captured_telemetry: Captured) -> None:
    """Nothing waits: 100 ms is a hundred times what a table of the kernel takes."""
    host.start()
    captured_telemetry.names()
    began_s = time.perf_counter()
    captured_telemetry.names()

    assert time.perf_counter() - began_s < 0.1


def test_importing_it_does_not_load_what_reads() -> None:
    """A service may have it off."""
    program = "import otel_metrics.host, sys; print('otel_metrics.host.machine' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert printed.stdout.decode().strip() == "False"

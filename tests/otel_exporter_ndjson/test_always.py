"""Mode `always`: who is told SUCCESS finds the record on the disk, and shares the fsync for it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter, read
from otel_exporter_ndjson import writer as writer_module
from otel_exporter_ndjson.fs import RealFs

Batches = Callable[..., MetricsData]
Events = Callable[..., ReadableLogRecord]
SUCCESS = LogRecordExportResult.SUCCESS


class SlowFs(RealFs):
    """Real files whose fsync waits for leave, fails on demand, and is counted."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.leave.set()
        self.syncs = 0
        self.failures = 0
        self.synced_sizes: list[int] = []

    def sync(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        self.leave.wait(20)
        self.syncs += 1
        if self.failures:
            self.failures -= 1
            raise OSError(5, "Input/output error")
        super().sync(descriptor)
        self.synced_sizes.append(size)


def numbers(archive: Path) -> list[int]:
    return sorted(record.data["attributes"]["n"] for record in read(archive))


def test_success_means_on_the_disk(tmp_path: Path, event: Events, batch: Batches) -> None:
    """When `export` returns, an fsync has covered the whole file, for events and for metrics."""
    fs = SlowFs()
    events = NdjsonLogRecordExporter(tmp_path, sync="always", fs=fs)
    metrics = NdjsonMetricExporter(tmp_path, sync="always", fs=fs)

    for number in range(3):
        assert events.export([event(number)]) is SUCCESS
        (segment,) = tmp_path.glob("events/*/*/*.ndjson")
        assert fs.synced_sizes[-1] == segment.stat().st_size
    assert metrics.export(batch(7)) is MetricExportResult.SUCCESS
    (segment,) = tmp_path.glob("metrics/*/*/*.ndjson")
    assert fs.synced_sizes[-1] == segment.stat().st_size
    events.shutdown()
    metrics.shutdown()
    assert numbers(tmp_path) == [0, 1, 2, 7]


def test_callers_share_an_fsync(tmp_path: Path, event: Events) -> None:
    """What sixteen threads record while one fsync runs needs one more, and is there once."""
    fs = SlowFs()
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", fs=fs)
    exporter.export([event(0)])
    fs.leave.clear()
    results: list[LogRecordExportResult] = []
    first = threading.Thread(target=lambda: results.append(exporter.export([event(1)])))
    first.start()
    before = fs.syncs
    threads = [
        threading.Thread(target=lambda n=n: results.append(exporter.export([event(n)])))
        for n in range(2, 18)
    ]
    for thread in threads:
        thread.start()
    fs.leave.set()
    for thread in [first, *threads]:
        thread.join()

    assert results == [SUCCESS] * 17
    assert fs.syncs - before <= 6  # seventeen, were there one for each
    exporter.shutdown()
    assert numbers(tmp_path) == list(range(18))


def test_a_failed_fsync_is_not_acknowledged_before_a_new_segment_is_synced(
    tmp_path: Path, event: Events
) -> None:
    """The caller waits until what may be lost is on the disk in another file, and is told once."""
    fs = SlowFs()
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", fs=fs)
    exporter.export([event(0)])
    fs.failures = 1

    assert exporter.export([event(1)]) is SUCCESS
    assert len(list(tmp_path.glob("events/*/*/*.ndjson*"))) == 2
    exporter.shutdown()
    assert numbers(tmp_path) == [0, 1]
    assert exporter.stats().errors["sync.EIO"] == 1


def test_a_disk_that_stays_broken_holds_nobody_up(tmp_path: Path, event: Events) -> None:
    """After two failures callers are told at once, and are served again when a probe works."""
    fs = SlowFs()
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", sync_interval="10ms", fs=fs)
    exporter.export([event(0)])
    fs.failures = 10**6
    failed = threading.Thread(target=lambda: exporter.export([event(1)]))
    failed.start()
    while exporter.stats().errors.get("sync.EIO", 0) < 3:
        time.sleep(0.01)
    began = time.monotonic()

    results = [exporter.export([event(number)]) for number in range(2, 6)]

    assert results == [LogRecordExportResult.FAILURE] * 4
    assert time.monotonic() - began < 1
    fs.failures = 0
    assert exporter.force_flush()
    failed.join()
    assert exporter.export([event(6)]) is SUCCESS
    exporter.shutdown()
    assert numbers(tmp_path) == list(range(7))  # unacknowledged, and kept all the same


def test_a_hanging_disk_lets_a_caller_go(
    tmp_path: Path, event: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the bound the record counts as unacknowledged; it may come to the disk later."""
    monkeypatch.setattr(writer_module, "SYNC_WAIT_S", 0.2)
    fs = SlowFs()
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", fs=fs)
    exporter.export([event(0)])
    fs.leave.clear()

    assert exporter.export([event(1)]) is LogRecordExportResult.FAILURE
    assert exporter.stats().errors == {"unacknowledged": 1}
    assert "did not confirm" in str(exporter.last_error)
    fs.leave.set()
    exporter.shutdown()
    assert numbers(tmp_path) == [0, 1]


def test_a_signal_handler_is_served_too(tmp_path: Path, event: Events) -> None:
    """A handler that interrupts a waiting caller records, and both are on the disk."""
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always")
    told: list[LogRecordExportResult] = []
    count = iter(range(1000, 100_000))
    signal.signal(signal.SIGALRM, lambda *_: told.append(exporter.export([event(next(count))])))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.003)
    try:
        told += [exporter.export([event(number)]) for number in range(300)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    assert set(told) == {SUCCESS}
    exporter.shutdown()
    assert len(numbers(tmp_path)) == len(told)


def test_a_child_that_was_forked_meanwhile_records(tmp_path: Path, event: Events) -> None:
    """A fork while eight threads wait for the disk leaves the child a writer that works."""
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always")
    ending = threading.Event()

    def record() -> None:
        while not ending.is_set():
            exporter.export([event(0)])

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if exporter.export([event(1)]) is SUCCESS else 1)
        statuses.append(os.waitpid(child, 0)[1])
    ending.set()
    for thread in threads:
        thread.join()
    exporter.shutdown()

    assert statuses == [0] * 20
    assert numbers(tmp_path).count(1) == 20


def test_after_the_end_nobody_waits(tmp_path: Path, event: Events) -> None:
    """A closed archive refuses at once."""
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always")
    exporter.export([event(0)])
    exporter.shutdown()
    began = time.monotonic()

    assert exporter.export([event(1)]) is LogRecordExportResult.FAILURE
    assert time.monotonic() - began < 1
    assert exporter.stats().dropped == {"closed": 1}

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
from opentelemetry.sdk.resources import Resource

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
    done = threading.Event()

    def interrupt(*_: object) -> None:
        told.append(exporter.export([event(next(count))]))
        if not done.is_set():  # only now: a disk that takes its time would have them pile up
            signal.setitimer(signal.ITIMER_REAL, 0.003)

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        told += [exporter.export([event(number)]) for number in range(300)]
    finally:
        done.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        exporter.shutdown()

    assert set(told) == {SUCCESS}
    assert len(numbers(tmp_path)) == len(told)


@pytest.mark.slow
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


def test_a_rotation_is_no_failure(tmp_path: Path, event: Events) -> None:
    """Records that each begin a new segment are acknowledged one after the other."""
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", rotate_bytes=4096)
    began = time.monotonic()

    results = [exporter.export([event(number, "x" * 5000)]) for number in range(20)]

    assert results == [SUCCESS] * 20
    assert time.monotonic() - began < 5
    exporter.shutdown()
    assert numbers(tmp_path) == list(range(20))
    assert exporter.stats().errors == {}


def test_who_is_in_a_segment_that_is_left_is_served_at_once(tmp_path: Path, event: Events) -> None:
    """A record of another service begins a segment; those before it do not wait an interval."""
    fs = SlowFs()
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", sync_interval="1h", fs=fs)
    other = ReadableLogRecord(
        event(3).log_record, Resource({"service.name": "bank"}), event(3).instrumentation_scope
    )
    exporter.export([event(0)])
    fs.leave.clear()
    results: list[LogRecordExportResult] = []
    threads = [
        threading.Thread(target=lambda r=record: results.append(exporter.export([r])))
        for record in (event(1), event(2), other)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # in this order, while the first fsync runs
    began = time.monotonic()
    fs.leave.set()
    for thread in threads:
        thread.join()

    assert results == [SUCCESS] * 3
    assert time.monotonic() - began < 2
    exporter.shutdown()


def test_a_handler_that_interrupts_the_end_does_not_wait(tmp_path: Path, event: Events) -> None:
    """What cannot be written while its own thread closes the archive is refused at once."""

    class Interrupting(RealFs):
        armed = False

        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            if self.armed and threading.current_thread() is threading.main_thread():
                self.armed = False
                signal.raise_signal(signal.SIGUSR1)
            return super().write(descriptor, data)

    fs = Interrupting()
    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", fs=fs)
    told: list[LogRecordExportResult] = []
    signal.signal(signal.SIGUSR1, lambda *_: told.append(exporter.export([event(9)])))
    try:
        exporter.export([event(1)])
        fs.armed = True
        began = time.monotonic()
        exporter.shutdown()
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

    assert told == [LogRecordExportResult.FAILURE]
    assert time.monotonic() - began < 2
    assert 1 in numbers(tmp_path)


def test_a_callback_that_ends_the_thread_ends_nothing(tmp_path: Path, event: Events) -> None:
    """`on_sync` may raise what it likes, SystemExit too: records are acknowledged all the same."""

    def leave(_: float) -> None:
        raise SystemExit

    exporter = NdjsonLogRecordExporter(tmp_path, sync="always", on_sync=leave)

    assert [exporter.export([event(number)]) for number in range(3)] == [SUCCESS] * 3
    exporter.shutdown()


def test_an_end_on_a_failing_disk_leaves_nothing_open(tmp_path: Path, event: Events) -> None:
    """Whatever fsync says, a closed archive holds no file and no lock."""
    fs = SlowFs()
    exporter = NdjsonLogRecordExporter(tmp_path, sync="interval", fs=fs)
    exporter.export([event(0)])
    before = len(os.listdir("/proc/self/fd"))
    exporter.export([event(1)])
    fs.failures = 10**6
    exporter.shutdown()

    assert len(os.listdir("/proc/self/fd")) <= before - 2  # a file and its folder fewer
    assert numbers(tmp_path) == [0, 1]

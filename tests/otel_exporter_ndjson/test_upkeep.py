"""The threads behind the callers' backs: nothing ends them early, and nobody waits for ever."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import (
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    find_segments,
    read,
)
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.opening import Clocks

Batches = Callable[..., MetricsData]
Events = Callable[..., ReadableLogRecord]

WAIT_S = 5.0


class FaultyFs(RealFs):
    """The operating system's files, which raise what they are told to."""

    def __init__(self) -> None:
        self.syncs = 0
        self.sync_faults: list[Exception] = []
        self.write_faults: list[Exception] = []
        self.link_faults: list[Exception] = []

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_faults:
            raise self.sync_faults.pop(0)
        super().sync(descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.write_faults:
            raise self.write_faults.pop(0)
        return super().write(descriptor, data)

    def link(self, directory: int, name: str, target: str) -> None:
        if self.link_faults and target.endswith(".zst"):
            raise self.link_faults.pop(0)
        super().link(directory, name, target)


@pytest.fixture
def fs() -> FaultyFs:
    return FaultyFs()


def values(folder: Path) -> list[int]:
    return [record.data["attributes"]["n"] for record in read(folder)]


def settle() -> None:
    """Wait until nothing is being compressed."""
    for thread in threading.enumerate():
        if thread.name == "otel-exporter-ndjson-zstd":
            thread.join()


def test_a_callback_that_raises_ends_no_fsync(
    tmp_path: Path, batch: Batches, fs: FaultyFs, caplog: pytest.LogCaptureFixture
) -> None:
    """`on_sync` may raise each time: each flush forces to the disk, and one line says so."""

    def on_sync(seconds: float) -> None:
        raise ZeroDivisionError(f"{seconds * 0}")

    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync_interval="1h", on_sync=on_sync)
    flushed = []
    for n in range(3):
        exporter.export(batch(n))
        flushed.append(exporter.force_flush(int(WAIT_S * 1000)))
    syncs = fs.syncs
    exporter.shutdown()

    assert flushed == [True] * 3
    assert syncs == 4  # one of them for the id of the archive
    assert exporter.stats().errors == {"on_sync.ZeroDivisionError": 4}
    assert len([line for line in caplog.messages if "ZeroDivisionError" in line]) == 1


def test_an_fsync_that_raises_anything_is_an_fsync_that_failed(
    tmp_path: Path, batch: Batches, fs: FaultyFs
) -> None:
    """What it may have lost is written again, and the next one works."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync_interval="1h", compression="none")
    exporter.export(batch(1))
    fs.sync_faults = [ValueError("not a file")]
    flushed = [exporter.force_flush(int(WAIT_S * 1000)) for _ in range(2)]
    exporter.shutdown()

    assert flushed == [False, True]
    assert exporter.stats().errors == {"sync.ValueError": 1}
    assert values(tmp_path) == [1]


def test_what_nobody_foresaw_costs_one_pass(
    tmp_path: Path, event: Events, fs: FaultyFs, caplog: pytest.LogCaptureFixture
) -> None:
    """A lack of memory on the thread of the fsyncs is counted and logged, and the next flush works.

    It is met where that thread writes a commit line over events that have none.
    """
    steady = [0.0]
    clocks = Clocks(monotonic_s=lambda: steady[0])
    exporter = NdjsonLogRecordExporter(
        tmp_path, fs=fs, sync_interval="1h", compression="none", clocks=clocks
    )
    exporter.export([event(1)])
    steady[0], fs.write_faults = 2.0, [MemoryError(), MemoryError()]
    flushed = [exporter.force_flush(int(WAIT_S * 1000)) for _ in range(3)]
    exporter.shutdown()

    assert flushed == [False, False, True]
    assert exporter.stats().errors == {"upkeep.MemoryError": 2}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert values(tmp_path) == [1]


@pytest.mark.parametrize("fault", [RuntimeError("no"), OSError(errno.ENOSPC, "full")])
def test_a_compression_that_fails_is_not_the_last(
    tmp_path: Path, batch: Batches, fs: FaultyFs, fault: Exception
) -> None:
    """The segment stays as it is, the failure is counted, and the next segment is compressed."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync="never", rotate_bytes=4096)
    exporter.export(batch(0))
    settle()
    fs.link_faults = [fault]
    for n in range(1, 60):
        exporter.export(batch(n))
        settle()
    compressed = [segment.compressed for segment in find_segments(tmp_path)]
    exporter.shutdown()
    kind = "RuntimeError" if isinstance(fault, RuntimeError) else "ENOSPC"

    assert compressed[:3] == [False, True, True]
    assert exporter.stats().errors == {f"compress.{kind}": 1}
    assert values(tmp_path) == list(range(60))


def test_a_flush_after_the_end_does_not_wait(tmp_path: Path, batch: Batches) -> None:
    """It says what became of the last fsync, at once."""
    exporter = NdjsonMetricExporter(tmp_path)
    exporter.export(batch(1))
    exporter.shutdown()
    waits = threading.Thread(target=exporter.force_flush, args=(60_000,), daemon=True)
    waits.start()
    waits.join(WAIT_S)

    assert not waits.is_alive()


def test_many_flushes_at_once_are_all_answered(tmp_path: Path, batch: Batches) -> None:
    """Each caller learns that what it wrote is on the disk."""
    exporter = NdjsonMetricExporter(tmp_path, sync_interval="1h")
    flushed: list[bool] = []

    def record(first: int) -> None:
        for n in range(first, first + 5):
            exporter.export(batch(n))
            flushed.append(exporter.force_flush(int(WAIT_S * 1000)))

    threads = [threading.Thread(target=record, args=(n * 5,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exporter.shutdown()

    assert flushed == [True] * 40

"""The log lines of a writer, told while nobody waits for it."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter, read
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.opening import Clocks
from otel_exporter_ndjson.states import News, StateLog

Batches = Callable[..., MetricsData]
Events = Callable[..., ReadableLogRecord]

WAIT_S = 5.0


class FaultyFs(RealFs):
    """The operating system's files, with faults on demand."""

    def __init__(self) -> None:
        self.write_faults = 0
        self.sync_faults = 0

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.write_faults:
            self.write_faults -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        if self.sync_faults:
            self.sync_faults -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


class ArchivingHandler(logging.Handler):
    """A service's handler, which writes to the archive what the service logs.

    It lets the archive's own thread come to the point of logging first: from then on each of the
    two has what the other may want.
    """

    def __init__(self, export: Callable[[], object]) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.told = threading.Event()
        self._export = export

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "otel_exporter_ndjson":
            self.told.set()
        return True

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "service":
            self.entered.set()
            self.told.wait(WAIT_S)
            self._export()


@pytest.fixture
def fs() -> FaultyFs:
    return FaultyFs()


@pytest.fixture
def handled() -> Iterator[Callable[[Callable[[], object]], ArchivingHandler]]:
    """Attach an archiving handler to the service's logger and to the archive's."""
    made: list[ArchivingHandler] = []
    loggers = [logging.getLogger("service"), logging.getLogger("otel_exporter_ndjson")]

    def attach(export: Callable[[], object]) -> ArchivingHandler:
        made.append(ArchivingHandler(export))
        for logger in loggers:
            logger.addHandler(made[-1])
        return made[-1]

    yield attach
    for logger in loggers:
        for handler in made:
            logger.removeHandler(handler)


def both_end(handler: ArchivingHandler, cause: Callable[[], object]) -> None:
    """Fail unless a thread that logs, and so archives, and one that causes a fault both end.

    The threads are daemons, so that a deadlock fails a test and does not hang it.
    """

    def fault() -> None:
        handler.entered.wait(WAIT_S)
        cause()

    log = logging.getLogger("service").error
    threads = [
        threading.Thread(target=log, args=("something happened",), daemon=True),
        threading.Thread(target=fault, daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert handler.told.is_set()
    assert not any(thread.is_alive() for thread in threads)


Attach = Callable[[Callable[[], object]], ArchivingHandler]


def test_a_failed_write_is_told_without_a_lock(
    tmp_path: Path, event: Events, fs: FaultyFs, handled: Attach
) -> None:
    """A full disk and a logging handler that archives: neither thread waits for ever."""
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, sync="never", compression="none")
    exporter.export([event(1)])
    handler = handled(lambda: exporter.export([event(3)]))
    fs.write_faults = 1
    both_end(handler, lambda: exporter.export([event(2)]))
    exporter.shutdown()

    assert [record.data["attributes"]["n"] for record in read(tmp_path)] == [1, 3]


def test_a_failed_export_of_metrics_is_told_without_a_lock(
    tmp_path: Path, batch: Batches, fs: FaultyFs, handled: Attach
) -> None:
    """The lock of the encoder, too, is free when the archive logs."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync="never", compression="none")
    exporter.export(batch(1))
    handler = handled(lambda: exporter.export(batch(3)))
    fs.write_faults = 1
    both_end(handler, lambda: exporter.export(batch(2)))
    exporter.shutdown()

    assert [record.data["attributes"]["n"] for record in read(tmp_path)] == [1, 3]


def test_that_it_works_again_is_told_without_a_lock(
    tmp_path: Path, event: Events, fs: FaultyFs, handled: Attach
) -> None:
    """The line about the end of a fault hangs nobody either."""
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, sync="never", compression="none")
    fs.write_faults = 1
    exporter.export([event(1)])
    handler = handled(lambda: exporter.export([event(3)]))
    both_end(handler, lambda: exporter.export([event(2)]))
    exporter.shutdown()

    assert [record.data["attributes"]["n"] for record in read(tmp_path)] == [2, 3]


def test_a_failed_fsync_is_told_without_a_lock(
    tmp_path: Path, event: Events, fs: FaultyFs, handled: Attach
) -> None:
    """The thread that forces to the disk logs, too, while nobody waits for it."""
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, sync_interval="1h", compression="none")
    exporter.export([event(1)])
    handler = handled(lambda: exporter.export([event(2)]))
    fs.sync_faults = 1
    both_end(handler, lambda: exporter.force_flush(int(WAIT_S * 1000)))
    exporter.shutdown()

    assert [record.data["attributes"]["n"] for record in read(tmp_path)] == [1, 2]


def test_a_commit_that_fails_is_told_without_a_lock(
    tmp_path: Path, event: Events, fs: FaultyFs, handled: Attach
) -> None:
    """A commit line that the thread of the fsyncs cannot write hangs nobody."""
    steady = [0.0]
    clocks = Clocks(monotonic_s=lambda: steady[0])
    exporter = NdjsonLogRecordExporter(
        tmp_path, fs=fs, sync_interval="1h", compression="none", clocks=clocks
    )
    exporter.export([event(1)])
    handler = handled(lambda: exporter.export([event(2)]))
    steady[0], fs.write_faults = 2.0, 1
    both_end(handler, lambda: exporter.force_flush(int(WAIT_S * 1000)))
    exporter.shutdown()


def test_a_seal_that_fails_is_told_without_a_lock(
    tmp_path: Path, event: Events, fs: FaultyFs, handled: Attach
) -> None:
    """A shutdown on a full disk ends, while another thread archives what it logs."""
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, compression="none")
    exporter.export([event(1)])
    handler = handled(lambda: exporter.export([event(2)]))
    fs.write_faults = 1

    both_end(handler, exporter.shutdown)


def test_a_failed_start_is_told_without_a_lock(
    tmp_path: Path, event: Events, handled: Attach
) -> None:
    """A folder that is refused before the first record hangs nobody."""
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "service=shop").symlink_to(tmp_path)
    exporter = NdjsonLogRecordExporter(tmp_path)
    handler = handled(lambda: exporter.export([event(1)]))

    both_end(handler, lambda: exporter.writer.prepare("shop"))


def test_a_handler_that_raises_costs_nothing(
    tmp_path: Path, batch: Batches, fs: FaultyFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is in the file was exported, whatever became of the line about it."""

    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError

    handler = Raising()
    monkeypatch.setattr(logging.getLogger("otel_exporter_ndjson"), "handlers", [handler])
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync="never", compression="none")
    fs.write_faults = 1
    results = [exporter.export(batch(n)).name for n in (1, 2)]
    exporter.shutdown()

    assert results == ["FAILURE", "SUCCESS"]
    assert exporter.stats().records == 1


def test_news_wait_until_they_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """A change of state is logged by whoever calls `tell`, once and in order."""
    news = News(logging.getLogger("otel_exporter_ndjson"))
    log = StateLog(news, "the archive")
    log.down("EIO", "a\nb")
    log.down("EIO", "again")
    log.up()
    before = list(caplog.messages)
    news.tell()
    news.tell()

    assert before == []
    assert caplog.messages == ["the archive: EIO: a\\x0ab", "the archive: works again after EIO"]


def test_a_reminder_comes_every_five_minutes(caplog: pytest.LogCaptureFixture) -> None:
    """What stays down for an hour is logged twelve times and no more."""
    now = [0.0]
    news = News(logging.getLogger("otel_exporter_ndjson"))
    log = StateLog(news, "the archive", monotonic=lambda: now[0])
    for second in range(3600):
        now[0] = float(second)
        log.down("EIO", "gone")
        news.tell()

    assert len(caplog.messages) == 12


def test_what_changes_all_the_time_is_told_twice_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault that comes and goes fills no log; what holds a minute later is told."""
    now_s = 0.0
    news = News(logging.getLogger("otel_exporter_ndjson"))
    log = StateLog(news, "disk", monotonic=lambda: now_s)
    for _ in range(100):
        log.down("EMFILE", "Too many open files")
        log.up()
        now_s += 0.5
    news.tell()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]

    now_s = 70.0
    log.down("EROFS", "Read-only file system")
    news.tell()
    assert "EROFS" in caplog.messages[-1]

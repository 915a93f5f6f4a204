"""Signal handlers that record, or shut down, wherever they interrupt a record of their thread."""

import errno
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord

from otel_exporter_ndjson import NdjsonLogRecordExporter, find_segments, read
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.scan import check

Events = Callable[..., ReadableLogRecord]

WAIT_S = 20.0
LOCKING = ("writer.py", "upkeep.py", "compressor.py", "bell.py", "exporter.py", "threading.py")
"""The files that take locks, in which a test interrupts."""


def interrupted(at: int, handler: Callable[[], object], work: Callable[[], object]) -> bool:
    """Do `work`, and `handler` before the `at`-th line of it; False when it has fewer lines.

    A signal handler runs between two instructions of its thread, and so does this.
    """
    left = [at]
    raised: list[Exception] = []

    def trace(frame: FrameType, what: str, argument: object) -> Any:
        del argument
        if what == "line":
            left[0] -= 1
            if left[0] == 0:
                try:
                    handler()
                except Exception as error:  # noqa: BLE001 # raised here it would leave a lock taken
                    raised.append(error)
        return trace if frame.f_code.co_filename.endswith(LOCKING) else None

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    assert raised == []
    return left[0] <= 0


def everywhere(first: int, step: int, attempt: Callable[[int], bool]) -> int:
    """Interrupt at each `step`-th place until there are no more; return how many there were.

    On a daemon thread, so that a deadlock fails a test and does not hang it.
    """
    places = list(range(first, 10_000, step))
    tried: list[int] = []
    ended: list[bool] = []

    def run() -> None:
        for at in places:
            tried.append(at)
            if not attempt(at):
                ended.append(True)
                break

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert ended, f"hangs or raises when interrupted at line {tried[-1]}"
    return len(tried)


def exporter_of(folder: Path, sync: str) -> NdjsonLogRecordExporter:
    return NdjsonLogRecordExporter(
        folder, sync=sync, sync_interval="1h", rotate_bytes=4096, compression="none"
    )


def numbers(folder: Path) -> list[int]:
    return sorted(record.data["attributes"]["n"] for record in read(folder))


def settled_damages(folder: Path) -> list[object]:
    """Return what is damaged once the archive's threads, which a `close(0)` leaves, have ended."""
    deadline = time.monotonic() + 5
    while True:
        damages: list[object] = [
            damage
            for segment in find_segments(folder)
            for damage in check([line for _, _, line in read_lines(segment)]).damages
        ]
        if not damages or time.monotonic() > deadline:
            return damages
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sync", "first", "step"), [("interval", 1, 2), ("interval", 2, 2), ("never", 1, 1)]
)
@pytest.mark.parametrize("does", ["record", "shut down"])
def test_a_signal_handler_may_come_at_any_place(
    tmp_path: Path, event: Events, sync: str, first: int, step: int, does: str
) -> None:
    """What was acknowledged, to the handler too, is on disk at the end of what it interrupted.

    The first record begins segment and threads, the second rotates. Nothing stands behind a seal.
    """
    wrong: list[tuple[int, list[int], list[int]]] = []

    def attempt(at: int) -> bool:
        folder = tmp_path / str(at)
        folder.mkdir()
        exporter = exporter_of(folder, sync)
        acked: list[int] = []

        def write(number: int, text: str) -> None:
            if exporter.export([event(number, text)]).value == 0:
                acked.append(number)

        def handler() -> None:
            if does == "record":
                write(3, "")
            else:
                exporter.writer.close(0.0)

        def work() -> None:
            write(1, "x" * 4000)
            write(2, "x" * 4000)

        more = interrupted(at, handler, work)
        found = numbers(folder)
        exporter.shutdown()
        damages = settled_damages(folder)
        enough = does == "shut down" or len(acked) == 2 + more
        if not enough or found != sorted(acked) or damages:
            wrong.append((at, acked, found))
        return more

    assert everywhere(first, step, attempt) > 50
    assert wrong == []


class Interrupting(RealFs):
    """Calls a handler in the middle of a write of events, and then fails."""

    def __init__(self) -> None:
        self.handler: Callable[[], object] | None = None
        self.broken = False

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        handler, self.handler = self.handler, None
        if handler is not None:
            handler()
            self.broken = True
            return super().write(descriptor, data)
        if self.broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


def test_what_a_handler_was_promised_and_is_lost_is_told(
    tmp_path: Path, event: Events, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler's record that fails after its success was reported is counted and logged."""
    fs = Interrupting()
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, sync="never", compression="none")
    exporter.export([event(1)])
    calls: list[object] = []
    fs.handler = lambda: calls.append(exporter.export([event(3)]).name)
    with caplog.at_level(logging.ERROR, "otel_exporter_ndjson"):
        calls.append(exporter.export([event(2)]).name)
    fs.broken = False
    exporter.shutdown()

    assert calls == ["SUCCESS", "SUCCESS"]
    assert numbers(tmp_path) == [1, 2]
    assert exporter.stats().dropped == {"ENOSPC": 1}
    assert "signal handler: ENOSPC: 1 were acknowledged and are lost" in caplog.messages[-1]


def test_a_write_that_raises_does_not_forget_the_handlers_record(
    tmp_path: Path, event: Events
) -> None:
    """An interrupt that ends a write, such as Ctrl-C, leaves no record of a handler behind."""

    class Stopped(Interrupting):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            handler, self.handler = self.handler, None
            if handler is not None:
                handler()
                raise KeyboardInterrupt
            return super().write(descriptor, data)

    fs = Stopped()
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, sync="never", compression="none")
    exporter.export([event(1)])
    fs.handler = lambda: exporter.export([event(3)])
    with pytest.raises(KeyboardInterrupt):
        exporter.export([event(2)])

    assert numbers(tmp_path) == [1, 3]

    exporter.shutdown()


def test_a_lack_of_memory_in_a_write_is_counted(tmp_path: Path, event: Events) -> None:
    """The records of a batch that was encoded and not written are among the dropped."""

    class Greedy(RealFs):
        greedy = False

        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            if self.greedy:
                raise MemoryError
            return super().write(descriptor, data)

    fs = Greedy()
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, sync="never", compression="none")
    exporter.export([event(1)])
    fs.greedy = True
    exporter.export([event(2), event(3)])
    fs.greedy = False
    exporter.shutdown()

    assert exporter.stats().dropped == {"MemoryError": 2}
    assert exporter.stats().errors == {"MemoryError": 1}
    assert numbers(tmp_path) == [1]

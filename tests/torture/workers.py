"""Tested processes: forked with warm imports, and ended in every way that there is."""

import copy
import logging
import os
import re
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter
from otel_exporter_ndjson.exporter import Arguments
from tests.torture.ledger import Ledger
from tests.torture.records import SMALL_BYTES, event, points

__all__ = ["Exporter", "Load", "Worker", "record", "start"]

BEGIN_WAIT_S: Final = 20.0
_LOOK_S: Final = 0.0002
_BEHIND: Final = re.compile(r"archive \S+: (fsync|compress|upkeep): ")
"""A line about work behind the callers' backs; any other is about what callers were told."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a tested process records.

    Attributes:
        batch: how many records each export holds.
        exports: how many exports it makes before it ends by itself; None: until it is killed.
        flush_every: after so many exports it flushes, and says so.
        pause_s: between two exports.
    """

    signal: Literal["metrics", "events"] = "events"
    service: str = "torture"
    bytes_max: int = SMALL_BYTES
    batch: int = 1
    exports: int | None = None
    flush_every: int | None = None
    pause_s: float = 0.0
    arguments: Arguments = field(default_factory=Arguments)


class Exporter:
    """One exporter of either signal, with the numbers that were given to it in a ledger."""

    def __init__(self, folder: Path, load: Load, ledger: Ledger) -> None:
        self._load = load
        self._ledger = ledger
        self._next = ledger.first
        self._metrics: NdjsonMetricExporter | None = None
        self._events: NdjsonLogRecordExporter | None = None
        if load.signal == "metrics":
            self._metrics = NdjsonMetricExporter(folder, **load.arguments)
        else:
            self._events = NdjsonLogRecordExporter(folder, **load.arguments)

    def beside(self, ledger: Ledger) -> "Exporter":
        """Return the same exporter for another thread, with a ledger of that thread."""
        other = copy.copy(self)
        other._ledger, other._next = ledger, ledger.first  # it is one of us
        return other

    def export(self) -> bool:
        """Export the next numbers; say whether they were acknowledged."""
        load, first = self._load, self._next
        self._next += load.batch
        self._ledger.submit(self._next)
        if self._metrics is not None:
            data = points(first, load.batch, load.bytes_max, load.service)
            began = time.monotonic_ns()
            ok = self._metrics.export(data) is MetricExportResult.SUCCESS
        else:
            assert self._events is not None
            batch = [event(first + n, load.bytes_max, load.service) for n in range(load.batch)]
            began = time.monotonic_ns()
            ok = self._events.export(batch) is LogRecordExportResult.SUCCESS
        self._ledger.took(time.monotonic_ns() - began)
        self._ledger.acknowledge(first, load.batch, ok=ok)
        return ok

    def flush(self) -> bool:
        """Force to the disk what was exported; a ledger holds what that promises."""
        until = self._next
        done = (self._metrics or self._events).force_flush()  # type: ignore[union-attr] # one is there
        if done:
            self._ledger.flush(until)
        return done

    def shutdown(self) -> None:
        """Seal what is open."""
        exporter: NdjsonMetricExporter | NdjsonLogRecordExporter | None
        exporter = self._metrics or self._events
        assert exporter is not None
        exporter.shutdown()
        self._ledger.remove(exporter.stats().dropped.get("removed", 0))


class Worker:
    """A forked process with its ledgers, one a thread that records."""

    def __init__(self, pid: int, ledgers: Sequence[Ledger]) -> None:
        self.pid = pid
        self.ledgers = ledgers
        self._status: int | None = None

    @property
    def ledger(self) -> Ledger:
        """The ledger of its only thread."""
        (ledger,) = self.ledgers
        return ledger

    def await_count(self, count: int) -> bool:
        """Wait until so many exports have returned; False when it died or takes too long."""
        return self.await_that(lambda: self.ledger.count >= count)

    def await_that(self, holds: Callable[[], bool]) -> bool:
        """Wait until something holds; False when the process died or it takes too long."""
        until_s = time.monotonic() + BEGIN_WAIT_S
        while not holds():
            if time.monotonic() > until_s or self.ended():
                return holds()
            time.sleep(_LOOK_S)
        return True

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def kill(self) -> None:
        """End it as a power button would; nothing of it runs afterwards."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Wait for its end; return 0, its status, or minus the signal that ended it."""
        if self._status is None:
            _, self._status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(self._status)


class _Counting(logging.Handler):
    """Counts log lines of each kind of work where the harness sees them."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._lines: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        behind = _BEHIND.search(record.getMessage())
        kind = "" if behind is None else behind[1]
        self._lines[kind] = self._lines.get(kind, 0) + 1
        self._ledger.logged(self._lines[kind])


def start(body: Callable[..., None], *ledgers: Ledger) -> Worker:
    """Fork a process that runs `body` with the ledgers, and ends with 0, or 1 when that raises."""
    pid = os.fork()
    if pid:
        return Worker(pid, ledgers)
    status = 1
    try:
        logger = logging.getLogger("otel_exporter_ndjson")
        logger.handlers, logger.propagate = [_Counting(ledgers[0])], False
        body(*ledgers)
        status = 0
    except Exception:  # noqa: BLE001 # it must be seen, and nobody is there to catch it
        traceback.print_exc()
    finally:
        os._exit(status)


def record(folder: Path, load: Load) -> Callable[[Ledger], None]:
    """Return the body of a process that records one export after the other."""

    def body(ledger: Ledger) -> None:
        exporter = Exporter(folder, load, ledger)
        while not ledger.is_full and (load.exports is None or ledger.count < load.exports):
            exporter.export()
            if load.flush_every and ledger.count % load.flush_every == 0:
                exporter.flush()
            if load.pause_s:
                time.sleep(load.pause_s)
        exporter.shutdown()

    return body

"""The log processors: where an event goes when it is emitted.

The archive takes it at once, on the caller's thread: it is on disk when the call returns. So does
each store of a domain that has a path. An OTLP endpoint gets it through a lane.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from opentelemetry.sdk._logs import (
    LoggerProvider,
    LogRecordLimits,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from otel_metrics import events
from otel_metrics.outages import Outage
from otel_metrics.pipeline.delivery import Verdict
from otel_metrics.pipeline.event_lane import EventLane
from otel_metrics.pipeline.quiet import suppressed

__all__ = [
    "ArchiveProcessor",
    "LaneProcessor",
    "QueueingStore",
    "Store",
    "StoreProcessor",
    "make_provider",
]

UNLIMITED: Final = 2**31
"""Lifts the SDK's limits: `values.py` has capped what enters. None would bring the variables'."""

_logger = logging.getLogger("otel_metrics.pipeline")


class ArchiveProcessor(LogRecordProcessor):
    """Writes each event to the archive before the call that emitted it returns.

    `_lost` counts what the archive did not take since it was last asked. It is not guarded: a
    count that two threads raise at once may be short, never zero.
    """

    def __init__(self, exporter: LogRecordExporter) -> None:
        self._exporter = exporter
        self._lost = 0
        self._failing = self._closed = False

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Write one record; what fails is counted by the exporter, and never raised."""
        if self._closed:
            return
        try:
            with suppressed():
                result = self._exporter.export([readable(log_record)])
            failed = result is not LogRecordExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # the service must not see a disk's trouble
            failed = True
            if not self._failing:
                _logger.warning("event archive: %s", error)
        self._failing = failed
        if failed:
            self._lost += 1

    def take_lost(self) -> str | None:
        """Say what was lost since this was last asked; None where nothing was."""
        lost, self._lost = self._lost, 0
        if not lost:
            return None
        reason = getattr(self._exporter, "last_error", None)
        return f"{lost} events were not archived: {reason or 'see the log'}"

    @property
    def left_out(self) -> int:
        """How many events no line of the archive can hold."""
        stats = getattr(self._exporter, "stats", None)
        return sum(stats().dropped.values()) if stats is not None else 0

    def shutdown(self) -> None:
        """Seal the archive."""
        self._closed = True
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # as the SDK declares it

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Tell whether the last event was written; nothing waits here."""
        del timeout_millis
        return not self._failing


class Store(Protocol):
    """Files or a database of one domain, which its events are also written to.

    Attributes:
        name: what health, metrics and verdicts call it.
        path: the file or folder.
        events: beginning of the names of the events that it takes.
    """

    name: str
    path: str
    events: str

    def take(self, name: str, attributes: Mapping[str, Any], time_ns: int) -> None:
        """Keep one event, or hand it to a thread that does; may raise as a disk or SQLite does."""

    def after_fork(self) -> None:
        """Begin anew in a forked child."""

    def close(self, deadline_s: float) -> None:
        """Write what waits, until this reading of the monotonic clock, and end."""


@runtime_checkable
class QueueingStore(Store, Protocol):
    """A store that hands events to a thread of its own.

    Attributes:
        trouble: why what waits cannot be written at the moment; None where it can.
    """

    @property
    def trouble(self) -> str | None:
        """Return it."""

    def wait(self, deadline: float) -> str | None:
        """Write what waits; return what is left at `deadline` (monotonic clock), in words."""


class StoreProcessor(LogRecordProcessor):
    """Hands each event of a domain to its store, on the caller's thread.

    `lost` counts by the error's class what the store did not take. It is not guarded: a count that
    two threads raise at once may be short, never zero.

    Attributes:
        close_by: until when (monotonic clock) the store may write what waits once it is closed.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.close_by: float | None = None
        self._takes = True
        self._ended = False
        self.lost: dict[str, int] = {}
        self._told = 0
        self._outage = Outage(_logger)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Keep one event; what fails is counted, and logged when it begins to fail."""
        record = log_record.log_record
        name = record.event_name or ""
        if not name.startswith(self.store.events) or events.is_filed(self.store.path):
            return
        if self._ended:
            return
        try:
            with suppressed():
                self.store.take(name, record.attributes or {}, record.timestamp or 0)
        except Exception as error:  # noqa: BLE001  # the service must not see a disk's trouble
            kind = type(error).__qualname__
            self.lost[kind] = self.lost.get(kind, 0) + 1
            self._takes = False
            message = "%s: %s; events are counted as lost until it works"
            self._outage.goes_on(message, self.store.name, error)
        else:
            self._takes = True
            self._outage.is_over("%s: works again", self.store.name)

    def after_fork(self) -> None:
        """Begin anew in a forked child, with nothing lost."""
        self.lost = {}
        self._told = 0
        self.store.after_fork()

    @property
    def up(self) -> bool:
        """Whether the store takes events, and writes them."""
        return self._takes and getattr(self.store, "trouble", None) is None

    def judge(self, deadline: float) -> Verdict:
        """Let the store write what waits, by `deadline`, and say what became of the events."""
        left = self.store.wait(deadline) if isinstance(self.store, QueueingStore) else None
        lost = self.take_lost()
        if lost is not None:
            return Verdict("failed", lost)
        return Verdict("delivered") if left is None else Verdict("timed_out", left)

    def take_lost(self) -> str | None:
        """Say what was lost since this was last asked; None where nothing was."""
        total = sum(self.lost.values())
        lost, self._told = total - self._told, total
        kinds = ", ".join(self.lost)
        return f"{lost} events were not kept in {self.store.path}: {kinds}" if lost else None

    def end(self) -> None:
        """Take no more for a queue: what is recorded from now on reaches the archive or nothing, so
        that the store has nothing that is not in the archive."""
        self._ended = isinstance(self.store, QueueingStore)

    def shutdown(self) -> None:
        """End the store; what waits there is written until the deadline of the exit."""
        self.store.close(time.monotonic() if self.close_by is None else self.close_by)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Tell whether the last event was kept; nothing waits here."""
        del timeout_millis
        return self.up


class LaneProcessor(LogRecordProcessor):
    """Queues each event on a lane."""

    def __init__(self, lane: EventLane) -> None:
        self._lane = lane

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue one record; a full queue drops and counts it."""
        self._lane.put(readable(log_record))

    def shutdown(self) -> None:
        """Do nothing: the lane is ended with the others."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: the lane is flushed with the others."""
        del timeout_millis
        return True


def make_provider(resource: Resource) -> LoggerProvider:
    """Make the LoggerProvider of our own, without limits and without an exit hook."""
    limits = LogRecordLimits(
        max_attributes=UNLIMITED,
        max_attribute_length=UNLIMITED,
        max_log_record_attributes=UNLIMITED,
        max_log_record_attribute_length=UNLIMITED,
    )
    return LoggerProvider(resource, shutdown_on_exit=False, log_record_limits=limits)


def readable(record: ReadWriteLogRecord) -> ReadableLogRecord:
    """Return the read-only view of a record that exporters take."""
    return ReadableLogRecord(
        log_record=record.log_record,
        resource=record.resource or Resource.get_empty(),
        instrumentation_scope=record.instrumentation_scope,
        limits=record.limits,
    )

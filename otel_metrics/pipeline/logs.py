"""The log processors: where an event goes when it is emitted.

The archive takes it at once, on the caller's thread: it is on disk when the call returns. An OTLP
endpoint gets it through a lane.
"""

import logging
from typing import Final

from opentelemetry.sdk._logs import (
    LoggerProvider,
    LogRecordLimits,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from otel_metrics.pipeline.event_lane import EventLane
from otel_metrics.pipeline.quiet import suppressed

__all__ = ["ArchiveProcessor", "LaneProcessor", "make_provider"]

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

    def shutdown(self) -> None:
        """Seal the archive."""
        self._closed = True
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # as the SDK declares it

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Tell whether the last event was written; nothing waits here."""
        del timeout_millis
        return not self._failing


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

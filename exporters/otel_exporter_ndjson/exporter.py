"""The two exporters: metrics and log records into the archive, on disk when `export` returns."""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import Aggregation

from otel_exporter_ndjson import settings as configuration
from otel_exporter_ndjson.encoding import MetricEncoder
from otel_exporter_ndjson.events import EventEncoder
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.opening import Clocks
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.stats import Stats
from otel_exporter_ndjson.streams import Batch
from otel_exporter_ndjson.writer import SegmentWriter

__all__ = ["NdjsonLogRecordExporter", "NdjsonMetricExporter"]

_logger = logging.getLogger("otel_exporter_ndjson")

FORK_WAIT_S: Final = 0.5
"""How long a fork waits for a write that is under way."""
EXIT_TIMEOUT_S: Final = 2.0
"""How long a shutdown without a timeout of its own waits for the disk."""


class _Archive:
    """One signal's writer with the counts of what never reached it."""

    def __init__(
        self,
        signal: str,
        settings: Settings | None,
        arguments: Mapping[str, object],
        *,
        service: str | None,
        on_sync: Callable[[float], None] | None,
        fs: Fs | None,
        clocks: Clocks | None,
    ) -> None:
        if settings is None:
            settings, problems = configuration.from_environ(os.environ)
            for problem in problems:
                _logger.warning("%s", problem)
        self.settings = configuration.from_arguments(settings, arguments)
        self.writer = SegmentWriter(signal, self.settings, on_sync=on_sync, fs=fs, clocks=clocks)
        if service is not None:
            self.writer.prepare(service)

    def write(self, encode: Callable[[], Batch | None]) -> bool:
        """Encode and write a batch; an empty one writes nothing and is well. Never raises."""
        try:
            batch = encode()  # its lock is free again: the writer may log
            return batch is None or self.writer.append(batch) is None
        except Exception as error:  # noqa: BLE001 # whatever it is, the service must not feel it
            self.writer.failed(error)
            return False

    def stats(self, encoder: MetricEncoder | EventEncoder) -> Stats:
        """Return the numbers as they are now."""
        with self.writer.lock:
            return self.writer.counts.freeze(encoder.dropped, encoder.tally.surrogates)


class NdjsonMetricExporter(MetricExporter):
    """Writes each metric export to `<path>/metrics/service=<name>/date=<day>/…ndjson`.

    `SUCCESS` means that every point which a line can hold is in the file and survives a kill of
    the process. Every argument but `path` is for keywords, and None means the environment variable
    `OTEL_EXPORTER_NDJSON_<ARGUMENT>`; a number is milliseconds or bytes, a text may have a unit.

    Args:
        path: the archive's folder.
        service: recover this service's segments now, not with the first export.
        settings: ready-made settings; the environment is then not read.
        on_sync: told the seconds of each fsync, on the thread that forces to the disk.
        fs, clocks: stand-ins for tests.

    Raises:
        SettingError: an argument is wrong.

    >>> NdjsonMetricExporter("./telemetry", rotate_bytes="16MiB")  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        sync: str | None = None,
        sync_interval: str | float | None = None,
        rotate_bytes: str | int | None = None,
        rotate_interval: str | float | None = None,
        compression: str | None = None,
        free_bytes_min: str | int | None = None,
        file_mode: str | int | None = None,
        dir_mode: str | int | None = None,
        allow_network_fs: str | bool | None = None,
        seal_key_file: str | os.PathLike[str] | None = None,
        retention_age: str | float | None = None,
        retention_bytes: str | int | None = None,
        service: str | None = None,
        settings: Settings | None = None,
        on_sync: Callable[[float], None] | None = None,
        preferred_temporality: dict[type, AggregationTemporality] | None = None,
        preferred_aggregation: dict[type, Aggregation] | None = None,
        fs: Fs | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        arguments = {
            "path": path,
            "sync": sync,
            "sync_interval": sync_interval,
            "rotate_bytes": rotate_bytes,
            "rotate_interval": rotate_interval,
            "compression": compression,
            "free_bytes_min": free_bytes_min,
            "file_mode": file_mode,
            "dir_mode": dir_mode,
            "allow_network_fs": allow_network_fs,
            "seal_key_file": seal_key_file,
            "retention_age": retention_age,
            "retention_bytes": retention_bytes,
        }
        super().__init__(preferred_temporality, preferred_aggregation)
        self._archive = _Archive(
            "metrics", settings, arguments, service=service, on_sync=on_sync, fs=fs, clocks=clocks
        )
        self._begin_life()
        _at_fork(self)

    def _begin_life(self) -> None:
        self._encoder = MetricEncoder()
        self._encoding = threading.RLock()
        self._busy = False

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._archive.settings

    @property
    def last_error(self) -> str | None:
        """What failed last, in words; None while nothing has."""
        return self._archive.writer.last_error

    @property
    def writer(self) -> SegmentWriter:
        """What writes the segments."""
        return self._archive.writer

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 # a write to the page cache does not wait
        **kwargs: Any,  # noqa: ARG002 # the SDK's signature
    ) -> MetricExportResult:
        """Write one batch and a commit line. Never raises; see `stats` for what was refused."""
        done = self._archive.write(lambda: self._encode(metrics_data))
        return MetricExportResult.SUCCESS if done else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Force what was exported to the disk; True at once in mode `never`."""
        return self._archive.writer.flush(timeout_millis / 1000)

    def shutdown(
        self,
        timeout_millis: float = EXIT_TIMEOUT_S * 1000,
        **kwargs: Any,  # noqa: ARG002 # the SDK's signature
    ) -> None:
        """Seal the open segment; later exports fail."""
        self._archive.writer.close(timeout_millis / 1000)

    def stats(self) -> Stats:
        """Return plain numbers about what was done."""
        return self._archive.stats(self._encoder)

    def after_fork(self) -> None:
        """Begin anew in a forked child; called by itself, and harmless when called again."""
        self._archive.writer.after_fork()
        self._begin_life()

    def _encode(self, metrics_data: MetricsData) -> Batch | None:
        with self._encoding:
            # In a signal handler that interrupted an export of its own thread the encoder is busy.
            encoder = MetricEncoder() if self._busy else self._encoder
            nested, self._busy = self._busy, True
            try:
                return encoder.encode(metrics_data)
            finally:
                self._busy = nested


class NdjsonLogRecordExporter(LogRecordExporter):
    """Writes log records to `<path>/events/service=<name>/date=<day>/…ndjson`.

    Fast enough for the thread that records: put it behind a processor that exports at once, and a
    record survives a kill of the process as soon as it is emitted. Arguments, errors and meaning of
    `SUCCESS` are those of `NdjsonMetricExporter`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        sync: str | None = None,
        sync_interval: str | float | None = None,
        rotate_bytes: str | int | None = None,
        rotate_interval: str | float | None = None,
        compression: str | None = None,
        free_bytes_min: str | int | None = None,
        file_mode: str | int | None = None,
        dir_mode: str | int | None = None,
        allow_network_fs: str | bool | None = None,
        seal_key_file: str | os.PathLike[str] | None = None,
        retention_age: str | float | None = None,
        retention_bytes: str | int | None = None,
        service: str | None = None,
        settings: Settings | None = None,
        on_sync: Callable[[float], None] | None = None,
        fs: Fs | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        arguments = {
            "path": path,
            "sync": sync,
            "sync_interval": sync_interval,
            "rotate_bytes": rotate_bytes,
            "rotate_interval": rotate_interval,
            "compression": compression,
            "free_bytes_min": free_bytes_min,
            "file_mode": file_mode,
            "dir_mode": dir_mode,
            "allow_network_fs": allow_network_fs,
            "seal_key_file": seal_key_file,
            "retention_age": retention_age,
            "retention_bytes": retention_bytes,
        }
        self._archive = _Archive(
            "events", settings, arguments, service=service, on_sync=on_sync, fs=fs, clocks=clocks
        )
        self._encoder = EventEncoder()
        _at_fork(self)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._archive.settings

    @property
    def last_error(self) -> str | None:
        """What failed last, in words; None while nothing has."""
        return self._archive.writer.last_error

    @property
    def writer(self) -> SegmentWriter:
        """What writes the segments."""
        return self._archive.writer

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write log records. Never raises; see `stats` for what was refused."""
        done = self._archive.write(lambda: self._encoder.encode(batch))
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        """Force what was exported to the disk; True at once in mode `never`."""
        return self._archive.writer.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Seal the open segment; later exports fail."""
        self._archive.writer.close(EXIT_TIMEOUT_S)

    def stats(self) -> Stats:
        """Return plain numbers about what was done."""
        return self._archive.stats(self._encoder)

    def after_fork(self) -> None:
        """Begin anew in a forked child; called by itself, and harmless when called again."""
        self._archive.writer.after_fork()
        self._encoder = EventEncoder()


def _at_fork(exporter: NdjsonMetricExporter | NdjsonLogRecordExporter) -> None:
    """Have a forked child begin anew, for as long as the exporter lives."""
    if not hasattr(os, "register_at_fork"):
        return
    reference = weakref.ref(exporter)
    held: dict[int, SegmentWriter] = {}  # by thread: two may fork at once

    def before() -> None:
        alive = reference()
        if alive is not None and alive.writer.before_fork(FORK_WAIT_S):
            held[threading.get_ident()] = alive.writer

    def after_in_parent() -> None:
        writer = held.pop(threading.get_ident(), None)
        if writer is not None:
            writer.lock.release()

    def after_in_child() -> None:
        held.clear()
        alive = reference()
        if alive is not None:
            alive.after_fork()

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )

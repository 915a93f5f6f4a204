"""The two exporters: metrics and log records into the archive, on disk when `export` returns."""

import difflib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, TypedDict, Unpack

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
from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.encoding import MetricEncoder
from otel_exporter_ndjson.errors import NdjsonError, SettingError
from otel_exporter_ndjson.events import EventEncoder
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.opening import Clocks
from otel_exporter_ndjson.retention import Limits, Removed, Retention
from otel_exporter_ndjson.sealkey import SealKey, read_key
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.stats import Stats
from otel_exporter_ndjson.streams import Batch
from otel_exporter_ndjson.writer import SegmentWriter

__all__ = ["Arguments", "NdjsonLogRecordExporter", "NdjsonMetricExporter"]

_logger = logging.getLogger("otel_exporter_ndjson")

FORK_WAIT_S: Final = 0.5
"""How long a fork waits for a write that is under way."""
EXIT_TIMEOUT_S: Final = 2.0
"""How long a shutdown without a timeout of its own waits for the disk."""


class Arguments(TypedDict, total=False):
    """What both exporters take by keyword, beside `path`.

    Those down to `retention_bytes` say the same as the variable
    `OTEL_EXPORTER_NDJSON_<ARGUMENT>`, which the reference page explains; None, or none given,
    leaves it to the variable and then to its default. A number is milliseconds or bytes, a text may
    have a unit, so that a mapping read from YAML can be handed over as it stands.

    Attributes:
        settings: ready-made settings; the environment is then not read.
        service: do this service's recovery now, so that its first export does not wait for it.
        on_sync: told the seconds of each fsync, on the thread that forces to the disk.
        fs, clocks: stand-ins for tests.
    """

    sync: str | None
    sync_interval: str | float | None
    rotate_bytes: str | int | None
    rotate_interval: str | float | None
    compression: str | None
    free_bytes_min: str | int | None
    file_mode: str | int | None
    dir_mode: str | int | None
    allow_network_fs: str | bool | None
    seal_key_file: str | os.PathLike[str] | None
    retention_age: str | float | None
    retention_bytes: str | int | None
    settings: Settings | None
    service: str | None
    on_sync: Callable[[float], None] | None
    fs: Fs | None
    clocks: Clocks | None


class _Archive:
    """One signal's writer with the counts of what never reached it."""

    def __init__(
        self, signal: str, path: str | os.PathLike[str] | None, arguments: Arguments
    ) -> None:
        _check(arguments)
        settings = arguments.get("settings")
        if settings is None:
            settings, problems = configuration.from_environ(os.environ)
            for problem in problems:
                _logger.warning("%s", problem)
        self.settings = configuration.from_arguments(settings, {"path": path, **arguments})
        fs, clocks = arguments.get("fs") or RealFs(), arguments.get("clocks") or Clocks()
        key, refusal = self._key(given=arguments.get("seal_key_file") is not None)
        self._audit: AuditLog | None = None
        self.writer = SegmentWriter(
            signal,
            self.settings,
            on_sync=arguments.get("on_sync"),
            fs=fs,
            clocks=clocks,
            key=key,
            retention=self._retention(fs, clocks, key),
            refusal=refusal,
        )
        service = arguments.get("service")
        if service is not None:
            self.writer.prepare(service)

    def _key(self, *, given: bool) -> tuple[SealKey | None, str | None]:
        """Return the key, or why the archive must stay closed: what is not signed as was asked
        for would pass for something that somebody else made."""
        if self.settings.seal_key_file is None:
            return None, None
        try:
            return read_key(self.settings.seal_key_file), None
        except (OSError, NdjsonError) as error:
            refusal = str(error)
            if isinstance(error, OSError):
                refusal = f"seal_key_file={self.settings.seal_key_file}: {error.strerror}"
            if given:
                raise SettingError(refusal) from error
            return None, refusal

    def _retention(self, fs: Fs, clocks: Clocks, key: SealKey | None) -> Retention | None:
        limits = Limits(
            age_s=self.settings.retention_age_s, bytes_max=self.settings.retention_bytes
        )
        if not limits:
            return None

        def say(removed: Removed) -> None:
            if self._audit is None:
                self._audit = AuditLog(self.settings, key=key, fs=fs, clocks=clocks)
            self._audit.removed(removed)

        def done() -> None:
            audit, self._audit = self._audit, None
            if audit is not None:
                audit.close()

        return Retention(self.settings.path, limits, say, done, clocks.world_ns)

    def close(self, timeout_s: float) -> None:
        """Seal the open segments, that of the audit too."""
        self.writer.close(timeout_s)
        if self._audit is not None:
            self._audit.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.writer.after_fork()
        if self._audit is not None:
            self._audit.after_fork()

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
            self.writer.tally()
            return self.writer.counts.freeze(encoder.dropped, encoder.tally.surrogates)


class NdjsonMetricExporter(MetricExporter):
    """Writes each metric export to `<path>/metrics/service=<name>/date=<day>/…ndjson`.

    `SUCCESS` means that every point which a line can hold is in the file and survives a kill of
    the process; in a signal handler that interrupted an export of its own thread, that it will be
    when that export returns.

    Args:
        path: the archive's folder.
        preferred_temporality, preferred_aggregation: as for every exporter of the SDK.
        arguments: see `Arguments`; all are for keywords.

    Raises:
        SettingError: an argument is wrong.
        TypeError: there is no such argument.

    >>> NdjsonMetricExporter("./telemetry", rotate_bytes="16MiB")  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        preferred_temporality: dict[type, AggregationTemporality] | None = None,
        preferred_aggregation: dict[type, Aggregation] | None = None,
        **arguments: Unpack[Arguments],
    ) -> None:
        super().__init__(preferred_temporality, preferred_aggregation)
        self._archive = _Archive("metrics", path, arguments)
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
        """What is wrong now, in words; None once an export has succeeded again."""
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
        self._archive.close(timeout_millis / 1000)

    def stats(self) -> Stats:
        """Return plain numbers about what was done."""
        return self._archive.stats(self._encoder)

    def after_fork(self) -> None:
        """Begin anew in a forked child; called by itself, and harmless when called again."""
        self._archive.after_fork()
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
        self, path: str | os.PathLike[str] | None = None, **arguments: Unpack[Arguments]
    ) -> None:
        self._archive = _Archive("events", path, arguments)
        self._encoder = EventEncoder()
        _at_fork(self)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._archive.settings

    @property
    def last_error(self) -> str | None:
        """What is wrong now, in words; None once an export has succeeded again."""
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
        self._archive.close(EXIT_TIMEOUT_S)

    def stats(self) -> Stats:
        """Return plain numbers about what was done."""
        return self._archive.stats(self._encoder)

    def after_fork(self) -> None:
        """Begin anew in a forked child; called by itself, and harmless when called again."""
        self._archive.after_fork()
        self._encoder = EventEncoder()


def _check(arguments: Arguments) -> None:
    """Raise for a keyword that there is not, as Python does where each is a parameter."""
    known = Arguments.__annotations__
    for name in arguments:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise TypeError(f"got an unexpected keyword argument {name!r}; {hint}")


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

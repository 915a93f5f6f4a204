"""The audit of an archive: what was removed from it or replaced in it, on the disk before it is.

Its segments are those of signal `audit`: chained, sealed and signed like all others, and never
removed. Each line is an event.
"""

import dataclasses
import errno
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.events import EventEncoder
from otel_exporter_ndjson.files import Findings
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.opening import Clocks
from otel_exporter_ndjson.reader import Record, read
from otel_exporter_ndjson.retention import Removed
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.values import decode_attributes
from otel_exporter_ndjson.writer import SegmentWriter

__all__ = ["CLOSE_S", "REMOVED", "REPLACED", "AuditLog", "Tombstone", "read_audit"]

REMOVED: Final = "archive.segment.removed"
REPLACED: Final = "archive.segment.replaced"
CLOSE_S: Final = 5.0
"""How long closing takes at most, where nothing is said."""
_DAY_S: Final = 86_400.0
_SCOPE: Final = InstrumentationScope("otel_exporter_ndjson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What the audit says of one segment.

    Attributes:
        event: `removed` or `replaced`.
        signal, service, segment: which one; `service` is the folder's name, the name of the
            segment's file is without `.zst`.
        sha256: the hash of its lines as they were.
        records: how many there were in it.
        reason, actor: why, and who.
        replaced_by: the hash of the lines that stand in their place, or None.
        record: the line that says so.
    """

    event: Literal["removed", "replaced"]
    signal: str
    service: str
    segment: str
    sha256: str
    records: int
    reason: str
    actor: str
    replaced_by: str | None
    record: Record


class AuditLog:
    """Writes the audit of one archive. Its segment is begun with the first line, by one thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        key: SealKey | None = None,
        fs: Fs | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._clocks = clocks or Clocks()
        self._encoder = EventEncoder()
        self._writer = SegmentWriter(
            "audit",
            dataclasses.replace(settings, sync="always", rotate_interval_s=_DAY_S),
            fs=fs,
            clocks=clocks,
            key=key,
        )

    def removed(self, what: Removed, *, actor: str | None = None) -> None:
        """Say that a segment is about to be removed.

        Raises:
            OSError: that is not on the disk, so that the segment must stay.
        """
        segment = what.segment
        self.say(
            REMOVED,
            {
                "signal": segment.signal,
                "service": segment.service,
                "segment": segment.name,
                "sha256": what.sha256,
                "records": what.records,
                "bytes": what.bytes,
                "reason": what.reason,
                "actor": actor or who(),
            },
            service=segment.service,
        )

    def say(self, event: str, attributes: Mapping[str, str | int], *, service: str) -> None:
        """Write one line; see `removed` for what is raised."""
        record = LogRecord(
            timestamp=self._clocks.world_ns(),
            event_name=event,
            attributes=dict(attributes),
            context=Context(),
        )
        resource = Resource({"service.name": service})
        made = ReadableLogRecord(record, resource=resource, instrumentation_scope=_SCOPE)
        batch = self._encoder.encode([made])
        reason = "unencodable" if batch is None else self._writer.append(batch)
        if reason is not None:
            detail = self._writer.last_error or reason
            raise OSError(errno.EIO, f"the audit could not be written: {detail}")

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Seal the open segment, within `timeout_s` where the disk can."""
        self._writer.close(max(0.0, timeout_s))

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._writer.after_fork()


def who() -> str:
    """Return who does this, as the audit names it: user id, process and host."""
    return f"uid {os.geteuid()}, process {os.getpid()} on {socket.gethostname()}"


def read_audit(
    path: str | os.PathLike[str],
    *,
    service: str | None = None,
    findings: Findings = None,
    fs: Fs | None = None,
) -> Iterator[Tombstone]:
    """Return what the audit of an archive says, in the order of writing. See `read` for errors."""
    for record in read(path, signal="audit", service=service, findings=findings, fs=fs):
        tombstone = _tombstone(record)
        if tombstone is not None:
            yield tombstone


def _tombstone(record: Record) -> Tombstone | None:
    event = record.data.get("event")
    try:
        said = decode_attributes(record.data.get("attributes")) or {}
    except DamagedError:
        return None
    texts = [said.get(key) for key in ("signal", "service", "segment", "sha256")]
    replaced_by = said.get("replaced_by")
    if event not in (REMOVED, REPLACED) or not all(isinstance(text, str) for text in texts):
        return None
    signal, named, segment, sha256 = map(str, texts)
    return Tombstone(
        event="removed" if event == REMOVED else "replaced",
        signal=signal,
        service=named,
        segment=segment,
        sha256=sha256,
        records=records if isinstance(records := said.get("records"), int) else 0,
        reason=str(said.get("reason", "")),
        actor=str(said.get("actor", "")),
        replaced_by=replaced_by if isinstance(replaced_by, str) else None,
        record=record,
    )

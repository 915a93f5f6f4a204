"""Reading an archive: its records, and what was exported.

Never trusts a file: what does not hold is a `Finding`, and the next line is read. A torn tail is
not a record, and what a writer wrote twice, because an fsync failed, is read once.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson.decoding import Decoder
from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import Finding, Findings, Segment, find_segments, read_lines
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.values import decode_time

__all__ = ["Record", "read", "read_events", "read_metrics"]

NESTING_MAX: Final = 64

_RECORDS: Final = frozenset({"metric", "event"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[][{}]")


@dataclass(frozen=True, slots=True)
class Record:
    """One line that is a point or an event.

    A record is identified by writer instance, segment sequence and line number (from 1).
    """

    instance: str
    sequence: int
    line: int
    data: dict[str, Any]
    segment: Segment
    raw: bytes

    @property
    def time_ns(self) -> int | None:
        """When it happened, in nanoseconds since 1970."""
        time = self.data.get("time")
        return decode_time(self.data.get("observed") if time is None else time)


def read(
    path: str | os.PathLike[str],
    *,
    signal: str | None = None,
    service: str | None = None,
    since: datetime | int | None = None,
    until: datetime | int | None = None,
    findings: Findings = None,
    fs: Fs | None = None,
) -> Iterator[Record]:
    """Return every point and event of an archive, or of one segment, as its line says it.

    Args:
        path: an archive's folder or a segment's file.
        signal, service: only these.
        since, until: only records of that time; a datetime, or nanoseconds since 1970. `until` is
            not part of it.
        findings: a list to which everything is added that is not as it should be.

    Raises:
        FileNotFoundError: there is no such archive.
    """
    window = (_nanoseconds(since), _nanoseconds(until))
    for segment, caps in _segments(path, signal, service, fs):
        for record in _records(segment, caps, findings, fs):
            if record.data["kind"] in _RECORDS and _within(record, window, findings):
                yield record


def read_metrics(
    path: str | os.PathLike[str],
    *,
    service: str | None = None,
    findings: Findings = None,
    fs: Fs | None = None,
) -> Iterator[MetricsData]:
    """Return what was exported, batch for batch, equal to what the exporter was given.

    A batch that a killed writer did not finish comes with the points that were written. Arguments
    and errors are those of `read`.
    """
    for segment, caps in _segments(path, "metrics", service, fs):
        decoder = Decoder()
        for record in _records(segment, caps, findings, fs):
            data = _decoded(decoder, record, findings)
            if isinstance(data, MetricsData):
                yield data
        rest = decoder.batch()
        if rest is not None:
            yield rest


def read_events(
    path: str | os.PathLike[str],
    *,
    service: str | None = None,
    findings: Findings = None,
    fs: Fs | None = None,
) -> Iterator[ReadableLogRecord]:
    """Return the log records that were exported. Arguments and errors are those of `read`."""
    for segment, caps in _segments(path, "events", service, fs):
        decoder = Decoder()
        for record in _records(segment, caps, findings, fs):
            data = _decoded(decoder, record, findings)
            if isinstance(data, ReadableLogRecord):
                yield data


def _decoded(
    decoder: Decoder, record: Record, findings: Findings
) -> MetricsData | ReadableLogRecord | None:
    try:
        match record.data["kind"]:
            case "segment":
                decoder.segment(record.data)
            case "describe":
                decoder.describe(record.data)
            case "metric":
                decoder.point(record.data)
            case "event":
                return decoder.event(record.data)
            case "commit":
                return decoder.batch(record.data)
    except DamagedError as error:
        _tell(findings, Finding("damage", record.segment, record.line, 0, str(error)))
    return None


def _segments(
    path: str | os.PathLike[str], signal: str | None, service: str | None, fs: Fs | None
) -> Iterator[tuple[Segment, int | None]]:
    """Return each segment with the last line of it that counts, where a later one says so."""
    files = fs or RealFs()
    found = find_segments(path, signal=signal, service=service, fs=files)
    caps = _caps(found, files)
    for segment in found:
        yield segment, caps.get((segment.folder_of_service, segment.instance, segment.sequence))


def _caps(found: list[Segment], fs: Fs) -> dict[tuple[str, str, int], int]:
    """After a failed fsync a writer writes again, in a new segment, what may be lost."""
    caps: dict[tuple[str, str, int], int] = {}
    for segment in found:
        if segment.sequence == 1:
            continue
        for again in _head(segment, fs).get("continues", ()):
            key = (segment.folder_of_service, segment.instance, again.get("sequence"))
            caps[key] = again.get("line")
    return caps


def _head(segment: Segment, fs: Fs) -> dict[str, Any]:
    for _, _, line in read_lines(segment, fs=fs):
        decoded = _object(line)
        return decoded if isinstance(decoded, dict) else {}
    return {}


def _records(
    segment: Segment, cap: int | None, findings: Findings, fs: Fs | None
) -> Iterator[Record]:
    for number, offset, line in read_lines(segment, findings=findings, fs=fs):
        if line.startswith(b"\0"):
            lost = len(line) - len(line := line.lstrip(b"\0"))
            _tell(findings, Finding("damage", segment, number, offset, f"{lost} NULs"))
        decoded = _object(line)
        if isinstance(decoded, str):
            _tell(findings, Finding("damage", segment, number, offset, decoded))
        elif cap is None or number <= cap or decoded["kind"] not in _RECORDS:
            yield Record(segment.instance, segment.sequence, number, decoded, segment, line)


def _object(line: bytes) -> dict[str, Any] | str:
    """Return what a line says, or what is wrong with it."""
    if line.count(b"[") + line.count(b"{") > NESTING_MAX and _nesting(line) > NESTING_MAX:
        return f"nested deeper than {NESTING_MAX}"
    try:
        decoded = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"no JSON: {error}"
    if not isinstance(decoded, dict) or not isinstance(decoded.get("kind"), str):
        return "no object with a kind"
    return decoded


def _nesting(line: bytes) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _within(record: Record, window: tuple[int | None, int | None], findings: Findings) -> bool:
    since, until = window
    if since is None and until is None:
        return True
    try:
        time_ns = record.time_ns
    except DamagedError as error:
        _tell(findings, Finding("damage", record.segment, record.line, 0, str(error)))
        return False
    return time_ns is not None and (
        (since is None or time_ns >= since) and (until is None or time_ns < until)
    )


def _nanoseconds(time: datetime | int | None) -> int | None:
    if not isinstance(time, datetime):
        return time
    return (time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000


def _tell(findings: Findings, finding: Finding) -> None:
    if findings is not None:
        findings.append(finding)

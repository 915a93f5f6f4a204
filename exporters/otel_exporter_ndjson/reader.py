"""Reading an archive: its records, and what was exported.

Never trusts a file: what does not hold is a `Finding`, and the next line is read. A torn tail is
not a record, and what a writer wrote twice, because an fsync failed, is read once.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson.chains import caps, holes, removed
from otel_exporter_ndjson.decoding import Decoder
from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import Cursor, lines_from
from otel_exporter_ndjson.findings import Finding, Findings, Told
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.listing import Segment, find_segments
from otel_exporter_ndjson.parsing import parsed
from otel_exporter_ndjson.segments import service_folder
from otel_exporter_ndjson.values import decode_time

__all__ = ["RECORDS", "Record", "read", "read_events", "read_metrics", "records_of", "segments_of"]

RECORDS: Final = frozenset({"metric", "event"})
"""The kinds of lines that are records."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOM: Final = b"\xef\xbb\xbf"


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
    for segment, cap in segments_of(path, signal, service, findings, fs):
        for record in _lines(segment, cap, findings, fs):
            if record.data["kind"] in RECORDS and _within(record, window, findings):
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
    for segment, cap in segments_of(path, "metrics", service, findings, fs):
        decoder = Decoder(segment.service)
        for record in _lines(segment, cap, findings, fs):
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
    for segment, cap in segments_of(path, "events", service, findings, fs):
        decoder = Decoder(segment.service)
        for record in _lines(segment, cap, findings, fs):
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


def segments_of(
    path: str | os.PathLike[str],
    signal: str | None,
    service: str | None,
    findings: Findings,
    fs: Fs | None,
) -> Iterator[tuple[Segment, int | None]]:
    """Return each segment, with the last line of it that counts where a later one says so.

    Arguments and errors are those of `read`.
    """
    every = find_segments(path, signal=signal, fs=fs)
    found = [each for each in every if service is None or _is_of(each, service)]
    if findings is not None:
        findings += _gaps(os.fspath(path), found, every, signal, fs)
    wrote = _by_writer(every)
    for writer, segments in groupby(found, key=lambda segment: segment.writer):
        ends = caps(wrote[writer], fs=fs)
        for segment in segments:
            yield segment, ends.get(segment.sequence)


def records_of(
    segment: Segment, told: Told, *, cursor: Cursor | None = None, fs: Fs | None = None
) -> Iterator[Record]:
    """Return each line of a segment that says something, from the cursor on, and move that.

    Not only records: also the lines that describe them.
    """
    odd_ends = False
    for number, offset, line in lines_from(segment, told, cursor=cursor, fs=fs):
        if line.startswith(b"\n"):
            told.tell("damage", number, offset, f"no JSON: {len(line)} empty lines")
            continue
        if line.startswith(b"\0"):
            lost = len(line) - len(line := line.lstrip(b"\0"))
            told.tell("damage", number, offset, f"{lost} NULs")
        if number == 1 and line.startswith(_BOM):
            line = line.removeprefix(_BOM)
            told.tell("damage", 1, 0, "a byte order mark stands before the first line")
        if line.endswith(b"\r\n") and not odd_ends:
            odd_ends = True
            told.tell("damage", number, offset, "this line, and maybe more, ends with CR and LF")
        said = parsed(line)
        if isinstance(said, str):
            told.tell("damage", number, offset, said)
        else:
            yield Record(segment.instance, segment.sequence, number, said, segment, line)


def _by_writer(segments: list[Segment]) -> dict[tuple[str, str], list[Segment]]:
    wrote: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        wrote.setdefault(segment.writer, []).append(segment)
    for each in wrote.values():
        each.sort(key=lambda segment: (segment.sequence, segment.name))
    return wrote


def _gaps(
    path: str, found: list[Segment], every: list[Segment], signal: str | None, fs: Fs | None
) -> list[Finding]:
    """Return a finding for each hole in the numbers of a writer that the audit does not explain."""
    wanted = {segment.writer for segment in found}

    def missing(segments: list[Segment]) -> dict[tuple[str, str, int], tuple[Segment, int]]:
        wrote = _by_writer([each for each in segments if each.writer in wanted])
        behind = [hole for each in wrote.values() for hole in holes(each)]
        return {(*each.writer, each.sequence): (each, before) for each, before in behind}

    seen = missing(every)
    if not seen:
        return []
    # Look once more: what is compressed meanwhile may be missing from one look at a large folder.
    again = missing(find_segments(path, signal=signal, fs=fs))
    known = removed(path, fs=fs)
    return [
        Finding("gap", segment, 0, 0, _hole(before, segment))
        for key, (segment, before) in seen.items()
        if again.get(key, (None, 0))[1] == before and not _explained(known, segment, before)
    ]


def _explained(known: set[tuple[str, str, int]], segment: Segment, before: int) -> bool:
    told = [
        each
        for signal, instance, each in known
        if (signal, instance) == segment.writer and before < each < segment.sequence
    ]
    return len(told) == segment.sequence - before - 1


def _hole(before: int, segment: Segment) -> str:
    first, last = before + 1, segment.sequence - 1
    which = (
        f"segment {first} of this writer is"
        if first == last
        else (f"segments {first} to {last} of this writer are")
    )
    return f"{which} missing: neither here nor in the audit of what was removed"


def _is_of(segment: Segment, service: str) -> bool:
    folder = os.path.basename(segment.folder_of_service)
    return service in (segment.service, folder) or service_folder(service) == folder


def _lines(
    segment: Segment, cap: int | None, findings: Findings, fs: Fs | None
) -> Iterator[Record]:
    told = Told(findings, segment)
    for record in records_of(segment, told, fs=fs):
        if cap is None or record.line <= cap or record.data["kind"] not in RECORDS:
            yield record
    told.close()


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

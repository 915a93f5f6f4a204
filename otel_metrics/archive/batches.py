"""An archive in batches that fit one OTLP request, each with the place that it reaches.

Reads only. A batch holds records of one segment, with their own times, resource and scope. What
has no meaning in OTLP, such as the commit lines, is not in it.
"""

import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics
from opentelemetry.trace import TraceFlags

from otel_exporter_ndjson import DamagedError, Finding, Record, Segment
from otel_exporter_ndjson.decoding import Decoder
from otel_exporter_ndjson.findings import Told
from otel_exporter_ndjson.reader import RECORDS, records_of, segments_of
from otel_exporter_ndjson.summary import summarise

__all__ = [
    "RECORDS_MAX",
    "SIGNALS",
    "Batch",
    "Chain",
    "Position",
    "Selection",
    "batches",
    "chain_of",
]

SIGNALS: Final = ("metrics", "events")
"""What can be taken elsewhere by OTLP; the audit stays with its archive."""
RECORDS_MAX: Final = 2_000
"""Of one batch."""
BYTES_MAX: Final = 2**20
"""Of one batch's lines; a record that is longer comes alone. OTLP needs less room than a line
does, unless attributes are many and short, and a collector's gRPC server takes 4 MiB."""

Chain = tuple[str, str, str]
"""Signal, service and writer instance: the segments of one are read in order of their numbers."""


class Position(NamedTuple):
    """How far a chain has been read: segment sequence and line. All before it counts as read."""

    sequence: int
    line: int


_START: Final = Position(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records are wanted; times in nanoseconds since 1970, `until` not part of it."""

    signals: Container[str] = SIGNALS
    service: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def has_window(self) -> bool:
        """Whether a record's time matters."""
        return self.since is not None or self.until is not None

    def among(self, segments: Iterable[Segment]) -> list[Segment]:
        """Return the segments of the signals and the service."""
        return [
            each
            for each in segments
            if each.signal in self.signals
            and self.service in (None, each.service, os.path.basename(each.folder_of_service))
        ]

    def is_too_early(self, time_ns: int | None) -> bool:
        """Whether a record of that time is before `since`; one without a time is."""
        return self.since is not None and (time_ns is None or time_ns < self.since)

    def is_too_late(self, time_ns: int | None) -> bool:
        """Whether a record of that time is not before `until`."""
        return self.until is not None and (time_ns is None or time_ns >= self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some records of one segment, as they were exported.

    Attributes:
        reached: the place behind which reading may go on once this batch is delivered. None where
            that would leave out for ever what only `until` left out now.
    """

    segment: Segment
    data: MetricsData | Sequence[ReadableLogRecord]
    records: int
    reached: Position | None


def batches(
    path: str | os.PathLike[str],
    selection: Selection,
    *,
    after: Mapping[Chain, Position] | None = None,
    findings: list[Finding] | None = None,
    records_max: int = RECORDS_MAX,
    bytes_max: int = BYTES_MAX,
) -> Iterator[Batch]:
    """Return the records of an archive, chain after chain in the order they were written.

    What is damaged is left out and told in `findings`; the rest is there.

    Args:
        after: where reading ended the last time.

    Raises:
        FileNotFoundError: there is no such archive.
    """
    ended: set[Chain] = set()
    for segment, cap in _segments(path, selection, findings):
        chain = chain_of(segment)
        begin = (after or {}).get(chain, _START)
        if segment.sequence < begin.sequence:
            continue
        first_ns, last_ns = _span(segment) if selection.has_window else (None, None)
        if first_ns is not None and selection.is_too_late(first_ns):
            ended.add(chain)
            continue
        if last_ns is not None and selection.is_too_early(last_ns):
            continue
        reader = _SegmentReader(segment, selection, findings, records_max, bytes_max)
        reader.keeps_place = chain not in ended
        seen = begin.line if segment.sequence == begin.sequence else 0
        yield from reader.batches(seen, cap)
        if not reader.keeps_place:
            ended.add(chain)


def chain_of(segment: Segment) -> Chain:
    """Return the chain that a segment is of."""
    return segment.signal, segment.service, segment.instance


def _segments(
    path: str | os.PathLike[str], selection: Selection, findings: list[Finding] | None
) -> Iterator[tuple[Segment, int | None]]:
    for signal in SIGNALS:
        if signal in selection.signals:
            for each in segments_of(path, signal, selection.service, findings, None):
                if each[0].signal == signal:  # `path` may be one segment, of either
                    yield each


def _span(segment: Segment) -> tuple[int | None, int | None]:
    """Return the times of a segment's oldest and newest record, where its seal says them."""
    findings: list[Finding] = []
    said = summarise(segment, findings=findings)
    if findings or said.state in ("open", "unsealed"):
        return None, None
    return said.first_ns, said.last_ns


@dataclass(slots=True)
class _SegmentReader:
    """Goes over one segment, and fills batches.

    Attributes:
        keeps_place: whether all that was met so far is delivered, or never wanted.
    """

    segment: Segment
    selection: Selection
    findings: list[Finding] | None
    records_max: int
    bytes_max: int
    keeps_place: bool = True
    _line: int = 0
    _records: int = 0
    _bytes: int = 0
    _points: list[ResourceMetrics] = field(default_factory=list)
    _events: list[ReadableLogRecord] = field(default_factory=list)

    def batches(self, seen: int, cap: int | None) -> Iterator[Batch]:
        """Return the batches of the records behind line `seen`, up to line `cap`."""
        decoder = Decoder(self.segment.service)
        told = Told(self.findings, self.segment)
        for record in records_of(self.segment, told):
            is_record = record.data["kind"] in RECORDS
            if is_record and (record.line <= seen or (cap is not None and record.line > cap)):
                continue
            if is_record and self._bytes + len(record.raw) > self.bytes_max:
                yield from self._filled(decoder)
            try:
                self._take(decoder, record)
            except DamagedError as error:
                told.tell("damage", record.line, 0, str(error))
            if self._records >= self.records_max:
                yield from self._filled(decoder)
        yield from self._filled(decoder)
        told.close()

    def _take(self, decoder: Decoder, record: Record) -> None:
        match record.data["kind"]:
            case "segment":
                decoder.segment(record.data)
            case "describe":
                decoder.describe(record.data)
            case "commit":
                self._collect(decoder)
            case "metric" if self._is_wanted(record):
                decoder.point(record.data)
                self._count(record)
            case "event" if self._is_wanted(record):
                self._events.append(_encodable(decoder.event(record.data)))
                self._count(record)

    def _is_wanted(self, record: Record) -> bool:
        time_ns = record.time_ns
        if self.selection.is_too_late(time_ns):
            self.keeps_place = False
            return False
        return not self.selection.is_too_early(time_ns)

    def _count(self, record: Record) -> None:
        self._records += 1
        self._bytes += len(record.raw)
        if self.keeps_place:
            self._line = record.line

    def _collect(self, decoder: Decoder) -> None:
        # By lines alone: the shape that a commit line may state does not hold for a part, and all
        # that it adds are metrics without points.
        data = decoder.batch()
        if data is not None:
            self._points.extend(data.resource_metrics)

    def _filled(self, decoder: Decoder) -> Iterator[Batch]:
        self._collect(decoder)
        if self._records:
            yield Batch(
                segment=self.segment,
                data=MetricsData(self._points) if self._points else self._events,
                records=self._records,
                reached=Position(self.segment.sequence, self._line) if self._line else None,
            )
        self._records = self._bytes = self._line = 0
        self._points, self._events = [], []


def _encodable(event: ReadableLogRecord) -> ReadableLogRecord:
    """Upstream's encoder wants flags, although OTLP knows records without."""
    if event.log_record.trace_flags is None:
        event.log_record.trace_flags = TraceFlags(TraceFlags.DEFAULT)
    return event

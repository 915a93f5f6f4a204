"""Follows an archive while it is written: each record once, in order for each writer.

Goes on across rotation and compression and to new writers, services and days. A look costs what is
open and new: sealed segments are never looked at again, folders of earlier days seldom.
"""

import calendar
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappush, heapreplace
from typing import Final

from otel_exporter_ndjson.chains import continued, sealed_by_writer
from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import Cursor, lines_from
from otel_exporter_ndjson.findings import Finding, Findings, Told
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.listing import Segment, find_segments, folders, ordered, segment_of
from otel_exporter_ndjson.reader import RECORDS, Record, records_of
from otel_exporter_ndjson.sealing import sealed_hash
from otel_exporter_ndjson.segments import SIGNALS, SegmentName, decode_name

__all__ = ["Follower"]

NEWEST_DAYS: Final = 2
SWEEP_LOOKS: Final = 50
"""At one look in so many, earlier days are looked at too: a clock may have been set back."""
SETTLED_NS: Final = 2 * 10**9
"""A folder that changed so lately may change again without a later time of change."""
BEHIND_MAX: Final = 16
"""Segments of a writer whose ends are remembered, for one that writes lines of them again."""
_APART: Final = 2**48
"""More than the lines of any segment."""


@dataclass(slots=True)
class _Reading:
    segment: Segment
    cursor: Cursor = field(default_factory=Cursor)
    again: Counter[bytes] = field(default_factory=Counter)
    done: bool = False


class Follower:
    """What is written to an archive from now on.

    Args:
        path: an archive's folder.
        signal, service: only these.
        findings: a list to which everything is added that is not as it should be.
        world_ns: the clock that folders' times of change are compared with.

    Raises:
        FileNotFoundError: there is no such archive.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        signal: str | None = None,
        service: str | None = None,
        findings: Findings = None,
        fs: Fs | None = None,
        world_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = os.path.abspath(path)
        self._signals = SIGNALS if signal is None else (signal,)
        self._service = service
        self._findings = findings
        self._fs = fs or RealFs()
        self._world_ns = world_ns
        self._changed_ns: dict[str, int] = {}
        self._readings: list[_Reading] = []
        self._ends: dict[tuple[str, str], dict[int, tuple[Segment, int]]] = {}
        self._looks = 0
        found = find_segments(path, signal=signal, service=service, fs=self._fs)
        self._known = {(each.folder, each.name) for each in found}
        self._found = found

    def last(self, count: int, keep: Callable[[Record], bool]) -> list[Record]:
        """Return the newest records that are there, and follow from behind them. Call this first.

        Segments whose newest record must be older than those are not read.
        """
        newest: list[tuple[int, int, Record]] = []
        caps: dict[tuple[tuple[str, str], int], int] = {}
        bounds = self._bounds()
        self._found.sort(key=lambda each: (bounds[each], each.sequence), reverse=True)
        for at, segment in enumerate(self._found):
            full = len(newest) == count and (count == 0 or newest[0][0] > bounds[segment])
            if full and segment.compressed:
                continue
            reading = _Reading(segment)
            if full:
                self._skip(reading)
            else:
                for sequence, line in continued(segment, fs=self._fs):
                    caps[segment.writer, sequence] = line
                cap = caps.get((segment.writer, segment.sequence))
                if cap is not None and sealed_by_writer(segment, fs=self._fs):
                    cap = None
                for number, record in enumerate(self._read(reading)):
                    if (cap is None or record.line <= cap) and keep(record):
                        _push(newest, count, (_time_ns(record), number - at * _APART, record))
            if not reading.done:
                self._readings.append(reading)
        self._found = []
        return _in_order([record for _, _, record in newest])

    def new(self) -> Iterator[Record]:
        """Return the records that were written since the last call."""
        if self._found:
            self.last(0, bool)
        for segment in self._newcomers():
            self._readings.append(_Reading(segment))
        self._readings.sort(key=lambda each: (*each.segment.writer, each.segment.sequence))
        for reading in self._readings:
            if self._has_grown(reading):
                self._remember_again(reading)
                yield from self._read(reading)
        self._readings = [each for each in self._readings if not each.done]

    def _bounds(self) -> dict[Segment, int]:
        """Return for each segment a time that no record of it was written after."""
        bounds: dict[Segment, int] = {}
        later: dict[tuple[str, str], int] = {}
        for segment in sorted(self._found, key=lambda each: (each.writer, -each.sequence)):
            facts = self._fs.status_of(segment.path)
            changed_ns = self._world_ns() if facts is None else facts.time_ns
            bounds[segment] = min(changed_ns, later.get(segment.writer, changed_ns))
            later[segment.writer] = _start_ns(segment)
        return bounds

    def _newcomers(self) -> list[Segment]:
        """Return segments that were not there before, in order."""
        newest = NEWEST_DAYS if self._looks % SWEEP_LOOKS else None
        self._looks += 1
        found = []
        try:
            root = self._fs.open_root(self._path)
        except OSError:
            return []  # gone, or one segment only; a service may make it again
        with opened(self._fs, root):
            for signal, service, date, directory in folders(
                self._fs, root, self._signals, newest=newest
            ):
                name = decode_name(service.removeprefix("service="))
                if self._service is not None and self._service not in (name, service):
                    continue
                folder = f"{self._path}/{signal}/{service}/{date}"
                for file in self._names(folder, directory):
                    segment = segment_of(signal, name, date, folder, file)
                    if segment is not None and (folder, segment.name) not in self._known:
                        self._known.add((folder, segment.name))
                        found.append(segment)
        return ordered(found)

    def _names(self, folder: str, directory: int) -> Iterable[str]:
        changed_ns = self._fs.status(directory).time_ns
        if self._changed_ns.get(folder) == changed_ns:
            return ()
        if abs(self._world_ns() - changed_ns) > SETTLED_NS:
            self._changed_ns[folder] = changed_ns
        return self._fs.names(directory)

    def _has_grown(self, reading: _Reading) -> bool:
        if reading.segment.compressed:
            return True
        facts = self._fs.status_of(reading.segment.path)
        if facts is None:  # compressed by now, or removed
            return True
        if facts.size < reading.cursor.offset:
            reading.done = True
            self._tell(
                reading.segment, "was cut while it was followed; what is written is not read"
            )
        return facts.size > reading.cursor.offset

    def _read(self, reading: _Reading) -> Iterator[Record]:
        """Return what is new in a segment; what was there in an earlier one is not new."""
        segment = reading.segment
        findings: list[Finding] = []
        told = Told(findings, segment)
        whole = segment.compressed or self._fs.status_of(segment.path) is None
        for record in records_of(segment, told, cursor=reading.cursor, fs=self._fs):
            kind = record.data["kind"]
            reading.done = reading.done or kind == "seal"
            if kind not in RECORDS:
                continue
            if reading.again and reading.again[record.raw] > 0:
                reading.again[record.raw] -= 1
            else:
                yield record
        reading.done = reading.done or whole
        told.close()
        if self._findings is not None:
            self._findings += [each for each in findings if each.kind != "torn_tail"]
        self._remember_end(reading)

    def _skip(self, reading: _Reading) -> None:
        """Go to the end of the whole lines without looking at them."""
        told = Told(None, reading.segment)
        lines = lines_from(reading.segment, told, cursor=reading.cursor, fs=self._fs)
        last = deque(lines, maxlen=1)
        reading.done = bool(last) and sealed_hash(last[0][2]) is not None
        self._remember_end(reading)

    def _remember_end(self, reading: _Reading) -> None:
        segment = reading.segment
        ends = self._ends.setdefault(segment.writer, {})
        ends[segment.sequence] = segment, reading.cursor.line
        for sequence in sorted(ends)[:-BEHIND_MAX]:
            del ends[sequence]

    def _remember_again(self, reading: _Reading) -> None:
        """Before the first line: find what stands in this segment for the second time."""
        if reading.cursor.offset:
            return
        ends = self._ends.get(reading.segment.writer, {})
        for sequence, line in continued(reading.segment, fs=self._fs):
            segment, end = ends.get(sequence, (None, 0))
            if segment is None:
                continue
            for record in records_of(segment, Told(None, segment), fs=self._fs):
                if line < record.line < end and record.data["kind"] in RECORDS:
                    reading.again[record.raw] += 1

    def _tell(self, segment: Segment, message: str) -> None:
        if self._findings is not None:
            self._findings.append(Finding("damage", segment, 0, 0, message))


def _push(
    newest: list[tuple[int, int, Record]], count: int, entry: tuple[int, int, Record]
) -> None:
    if len(newest) < count:
        heappush(newest, entry)
    elif newest and entry[:2] > newest[0][:2]:
        heapreplace(newest, entry)


def _time_ns(record: Record) -> int:
    try:
        return record.time_ns or 0
    except DamagedError:
        return 0


def _start_ns(segment: Segment) -> int:
    """When a segment was begun, as its name says, to the second above."""
    name = SegmentName.parse(segment.name)
    assert name is not None  # it was found by its name
    try:
        moment = time.strptime(name.start[:15] + " UTC", "%Y%m%dT%H%M%S %Z")
    except ValueError:
        return 2**63
    return (calendar.timegm(moment) + 1) * 10**9


def _in_order(records: list[Record]) -> list[Record]:
    """Return records by time, but those of a writer in the order they were written."""
    latest: dict[tuple[str, str], int] = {}
    keyed = []
    for record in sorted(records, key=lambda each: (each.sequence, each.line)):
        writer = record.segment.writer
        latest[writer] = max(_time_ns(record), latest.get(writer, 0))
        keyed.append(((latest[writer], *writer, record.sequence, record.line), record))
    return [record for _, record in sorted(keyed, key=lambda each: each[0])]

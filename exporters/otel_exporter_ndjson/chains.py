"""What the segments of one writer say of each other: lines that were written twice, and holes."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from otel_exporter_ndjson.files import first_line, last_line, read_lines
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.listing import Segment, find_segments
from otel_exporter_ndjson.parsing import parsed
from otel_exporter_ndjson.segments import SegmentName

__all__ = ["caps", "continued", "holes", "removed", "sealed_by_writer"]

REMOVED: Final = "archive.segment.removed"
"""The event of the audit that says that a segment was taken away on purpose."""


def continued(segment: Segment, *, fs: Fs | None = None) -> Iterator[tuple[int, int]]:
    """Return sequence and line of each earlier segment of this writer whose fsync failed.

    What stands behind that line there was written again in this segment, in the same order.
    """
    if segment.sequence == 1:
        return
    head = parsed(first_line(segment, fs=fs))
    again: Any = head.get("continues") if isinstance(head, dict) else None
    for each in again if isinstance(again, list) else ():
        if isinstance(each, dict):
            sequence, line = each.get("sequence"), each.get("line")
            if isinstance(sequence, int) and isinstance(line, int) and sequence < segment.sequence:
                yield sequence, line


def caps(writers: Iterable[Segment], *, fs: Fs | None = None) -> dict[int, int]:
    """Return the last line that counts, by sequence, of one writer's segments that have one.

    A segment that its own writer sealed has none, whatever a later one says: a writer takes back
    its seal where an fsync fails, and a file that somebody adds must hide nothing.
    """
    found: dict[int, int] = {}
    ours = list(writers)
    for segment in ours:
        for sequence, line in continued(segment, fs=fs):
            found[sequence] = min(line, found.get(sequence, line))
    for segment in ours:
        if segment.sequence in found and sealed_by_writer(segment, fs=fs):
            del found[segment.sequence]
    return found


def sealed_by_writer(segment: Segment, *, fs: Fs | None = None) -> bool:
    """Whether a segment ends with a seal that no recovery made."""
    seal = parsed(last_line(segment, fs=fs))
    return isinstance(seal, dict) and seal.get("kind") == "seal" and not seal.get("recovered")


def holes(segments: Sequence[Segment]) -> list[tuple[Segment, int]]:
    """Return, for one writer's segments in order, each behind a hole with the last number before.

    Two numbers, not all that are missing: a name that somebody made up may skip a billion.
    """
    return [
        (segment, before.sequence)
        for before, segment in pairwise(segments)
        if segment.sequence - before.sequence > 1
    ]


def removed(path: str, *, fs: Fs | None = None) -> set[tuple[str, str, int]]:
    """Return signal, instance and sequence of each segment that the audit calls removed."""
    found = set()
    for segment in find_segments(path, signal="audit", fs=fs):
        for _, _, line in read_lines(segment, fs=fs):
            record = parsed(line)
            if not isinstance(record, dict) or record.get("event") != REMOVED:
                continue
            said: Any = record.get("attributes")
            if isinstance(said, dict) and (name := SegmentName.parse(str(said.get("segment")))):
                found.add((str(said.get("signal")), name.instance, name.sequence))
    return found

"""What one segment holds, in a few figures; for lists of segments."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import last_line, read_lines
from otel_exporter_ndjson.findings import Findings
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.listing import Segment
from otel_exporter_ndjson.scan import Scan
from otel_exporter_ndjson.values import decode_time

__all__ = ["State", "Summary", "summarise"]

State = Literal["open", "unsealed", "sealed", "recovered", "compressed"]


@dataclass(frozen=True, slots=True)
class Summary:
    """A segment in figures.

    Attributes:
        state: `open` while its writer lives, `unsealed` when that is dead and no start has
            recovered it, `sealed`, `recovered` (sealed by another), or `compressed`.
        records: points or events in it.
        first_ns, last_ns: times of the oldest and newest record, in nanoseconds since 1970.
        bytes: size of its file.
    """

    segment: Segment
    state: State
    records: int
    first_ns: int | None
    last_ns: int | None
    bytes: int


def summarise(segment: Segment, *, findings: Findings = None, fs: Fs | None = None) -> Summary:
    """Return what a segment's seal says, or what its lines come to where it has none.

    No hash is checked but the one behind a compressed segment.
    """
    files = fs or RealFs()
    seal = _seal(last_line(segment, findings=findings, fs=files))
    status = files.status_of(segment.path)
    size = 0 if status is None else status.size
    if seal is not None:
        state: State = "recovered" if seal.get("recovered") else "sealed"
        return Summary(
            segment=segment,
            state="compressed" if segment.compressed else state,
            records=seal["records"],
            first_ns=decode_time(seal["first"]),
            last_ns=decode_time(seal["last"]),
            bytes=size,
        )
    scan = Scan()
    for _, _, line in read_lines(segment, findings=findings, fs=files):
        scan.feed(line)
    first_ns, last_ns = scan.times
    state = "open" if _locked(segment, files) else "unsealed"
    return Summary(
        segment=segment,
        state="compressed" if segment.compressed else state,
        records=scan.records,
        first_ns=first_ns,
        last_ns=last_ns,
        bytes=size,
    )


def _seal(line: bytes) -> dict[str, Any] | None:
    """Return a seal line that can be used, else None."""
    try:
        record = msgspec.json.decode(line)
        times = [decode_time(record[member]) for member in ("first", "last")]
        usable = record["kind"] == "seal" and isinstance(record["records"], int) and times
    except (msgspec.MsgspecError, UnicodeDecodeError, DamagedError, KeyError, TypeError):
        return None
    return record if usable else None


def _locked(segment: Segment, fs: Fs) -> bool:
    """Whether a writer lives; our own hold on the lock lasts for an instant."""
    try:
        with (
            opened(fs, fs.open_root(segment.folder)) as directory,
            opened(fs, fs.open(directory, segment.name)) as descriptor,
        ):
            return not fs.lock(descriptor)
    except OSError:
        return False

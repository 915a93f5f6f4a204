"""What one segment holds, in a few figures; for lists of segments."""

from dataclasses import dataclass
from typing import Literal

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import Findings, Segment, read_lines
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.segments import Scan

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
        damages: how many of its hashes and lines do not hold.
    """

    segment: Segment
    state: State
    records: int
    first_ns: int | None
    last_ns: int | None
    bytes: int
    damages: int


def summarise(segment: Segment, *, findings: Findings = None, fs: Fs | None = None) -> Summary:
    """Go over a segment's lines once, and check every hash on the way."""
    files = fs or RealFs()
    scan = Scan()
    for _, _, line in read_lines(segment, findings=findings, fs=files):
        scan.feed(line)
    status = files.status_of(segment.path)
    try:
        first_ns, last_ns = scan.times
    except DamagedError:
        first_ns = last_ns = None
    return Summary(
        segment=segment,
        state=_state(segment, scan, files),
        records=scan.records,
        first_ns=first_ns,
        last_ns=last_ns,
        bytes=0 if status is None else status.size,
        damages=len(scan.damages),
    )


def _state(segment: Segment, scan: Scan, fs: Fs) -> State:
    if segment.compressed:
        return "compressed"
    if scan.sealed:
        return "recovered" if scan.seal and scan.seal.get("recovered") else "sealed"
    return "open" if _locked(segment, fs) else "unsealed"


def _locked(segment: Segment, fs: Fs) -> bool:
    """Whether a writer lives; our own hold on the lock lasts for an instant."""
    try:
        with opened(fs, fs.open_root(segment.folder)) as directory:  # noqa: SIM117 # one after the other
            with opened(fs, fs.open(directory, segment.name)) as descriptor:
                return not fs.lock(descriptor)
    except OSError:
        return False

"""Whether an archive keeps its word: what was promised is there, once, in order and sound.

The judge knows what was submitted and promised from the log of a life, recovers the disk as the
next start would, and reads.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from otel_exporter_ndjson.audit import read_audit
from otel_exporter_ndjson.chains import continued
from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import Segment, find_segments, first_line, read_lines
from otel_exporter_ndjson.findings import Finding
from otel_exporter_ndjson.folders import archive_id, opened
from otel_exporter_ndjson.frames import inflate
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.parsing import parsed
from otel_exporter_ndjson.reader import read
from otel_exporter_ndjson.recovery import Recovered, recover_service
from otel_exporter_ndjson.scan import Scan, check
from otel_exporter_ndjson.sealing import CHANGED
from otel_exporter_ndjson.segments import SIGNALS
from tests.otel_exporter_ndjson.histories import ARCHIVE, LANE, MakeFs
from tests.otel_exporter_ndjson.simdisk import Disk
from tests.otel_exporter_ndjson.simfs import SimFs

__all__ = ["Judged", "Subject", "judge", "quarantined", "segments"]

_CERTAIN: Final = 2**62

Recover = Callable[..., list[Recovered]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested; planted bugs replace a part of it.

    Attributes:
        recover: as `recover_service`.
        recovery_fs: the file system that recovery runs on.
        read: as `otel_exporter_ndjson.read`.
        check: as `scan.check`.
    """

    recover: Recover = recover_service
    recovery_fs: MakeFs = SimFs
    read: Callable[..., Iterable[Any]] = read
    check: Callable[[Iterable[bytes]], Scan] = check


@dataclass(slots=True)
class Judged:
    """What is wrong with a state, and what recovery made of it."""

    faults: list[str]
    fs: SimFs
    done: list[Recovered]
    unchained: int = 0


def judge(
    disk: Disk,
    promised: frozenset[int],
    lines: dict[int, bytes],
    *,
    subject: Subject | None = None,
    compress: bool = True,
) -> Judged:
    """Recover a disk, and say which promise it breaks.

    Args:
        promised: numbers that must be there.
    """
    subject = subject or Subject()
    fs = subject.recovery_fs(disk.copy())
    done = _recover(fs, subject, compress=compress)
    judged = Judged([], fs, done)
    faults = judged.faults
    for each in done:
        told = each.reason is not None and each.action != "sealed"  # NULs that a cut left are told
        if told and not _is_early_seal(fs, each):
            faults.append(f"recovery {each.action} {each.name}: {each.reason}")
    if fs.status_of(ARCHIVE) is None:
        faults += [f"lost: {number}" for number in sorted(promised)]
        return judged
    _records(fs, promised, lines, subject, faults)
    _sound(fs, subject, judged)
    before = fs.disk.contents()
    _recover(fs, subject, compress=compress)
    if fs.disk.contents() != before:
        faults.append("a second recovery changes something")
    if fs.held:
        faults.append(f"{fs.held} descriptors were left open")
    return judged


def _recover(fs: SimFs, subject: Subject, *, compress: bool) -> list[Recovered]:
    """Do for each service what the next start would."""
    done: list[Recovered] = []
    for signal in SIGNALS:
        path = f"{ARCHIVE}/{signal}"
        if fs.status_of(path) is None:
            continue
        with opened(fs, fs.open_root(path)) as parent:
            for name in fs.names(parent):
                with opened(fs, fs.open_dir(parent, name)) as service:
                    done += subject.recover(fs, service, compress=compress)
    return done


def _is_early_seal(fs: SimFs, done: Recovered) -> bool:
    """Whether the power failed when a writer's own seal had come to the disk before what it vouches
    for. Nobody waits for an fsync there, and then the verdict is true: bytes are lost."""
    both = any(path.endswith(f"/{done.name}.zst") for path in fs.disk.contents())
    return CHANGED in (done.reason or "") and _is_soft(fs, done.name) and not both


def _records(
    fs: SimFs,
    promised: frozenset[int],
    lines: dict[int, bytes],
    subject: Subject,
    faults: list[str],
) -> None:
    """Read all records; say what is lost, what nobody sent, and what is out of order."""
    findings: list[Finding] = []
    found: list[int] = []
    ids: list[tuple[str, int, int, str]] = []
    newest: dict[tuple[str, int], int] = {}
    again = {each for each in find_segments(ARCHIVE, fs=fs) if _is_again(fs, each)}
    for signal in ("events", "metrics"):
        for record in subject.read(ARCHIVE, signal=signal, findings=findings, fs=fs):
            number = record.data["attributes"]["n"]
            if lines.get(number) != record.raw.lstrip(b"\0"):
                faults.append(f"never sent like this: {number}")
            found.append(number)
            ids.append((record.instance, record.sequence, record.line, signal))
            if record.segment in again:
                continue  # what was written again because of an earlier segment may be older
            writer = (record.instance, number // LANE)
            if number < newest.get(writer, -1):
                faults.append(f"out of order: {number}")
            newest[writer] = number
    twice = sorted({number for number in found if found.count(number) > 1})
    if fs.disk.cut:  # of a segment that was to be written again the first lines alone may be lost
        twice = sorted({*twice} & promised)
    faults += [f"read twice: {number}" for number in twice]
    if len(set(ids)) != len(ids):
        faults.append("two records have one identity")
    lost = sorted(promised - set(found))
    if lost:  # retention removes the oldest, and says so first
        del lost[: _removed(fs)]
    faults += [f"lost: {number}" for number in lost]
    for each in findings:
        if not _is_soft(fs, each.segment.name) and each.kind != "gap":
            faults.append(f"finding {each.kind} in {each.segment.name}: {each.message}")
        if each.kind == "gap" and not fs.disk.cut:
            faults.append(f"gap before {each.segment.name}: {each.message}")


def _is_again(fs: SimFs, segment: Segment) -> bool:
    """Whether a segment has what was written again, or has lost the line that would say so."""
    headless = _is_soft(fs, segment.name) and isinstance(parsed(first_line(segment, fs=fs)), str)
    return headless or any(True for _ in continued(segment, fs=fs))


def _removed(fs: Fs) -> int:
    """Return how many records were in segments that are not there and whose removal was said."""
    there = {(each.signal, each.name) for each in find_segments(ARCHIVE, fs=fs)}
    said = {(each.signal, each.segment): each.records for each in read_audit(ARCHIVE, fs=fs)}
    return sum(count for segment, count in said.items() if segment not in there)


def _sound(fs: SimFs, subject: Subject, judged: Judged) -> None:
    """Check every hash of every segment, and the chain."""
    with opened(fs, fs.open_root(ARCHIVE)) as root:
        ours = archive_id(fs, root)
    hashes: dict[str, str] = {}
    chained: list[tuple[Segment, object]] = []
    for segment in find_segments(ARCHIVE, fs=fs):
        scan = subject.check([line for _, _, line in read_lines(segment, fs=fs)])
        for damage in scan.damages:
            if damage.end <= fs.disk.firm.get(segment.name, _CERTAIN):
                judged.faults.append(f"{segment.name} line {damage.line}: {damage.message}")
        if not scan.sealed:
            judged.faults.append(f"{segment.name} is not sealed")
        hashes[segment.name] = scan.sha256
        chained.append((segment, (scan.head or {}).get("previous")))
        if scan.head is not None and scan.head["archive"] != ours:
            judged.faults.append(f"{segment.name} belongs to another archive")
        if ours is None:
            judged.faults.append("the archive has no id")
    for tombstone in read_audit(ARCHIVE, fs=fs):
        hashes.setdefault(tombstone.segment, tombstone.sha256)
    for segment, previous in chained:
        if isinstance(previous, dict) and hashes.get(previous["segment"]) != previous["sha256"]:
            judged.unchained += 1
            gone = previous["segment"] not in hashes
            if not fs.disk.cut or not (gone or _is_soft(fs, previous["segment"])):
                judged.faults.append(f"{segment.name}: the segment before it is another one")


def _is_soft(fs: SimFs, name: str) -> bool:
    """Whether a power cut found bytes of the segment that no fsync had covered."""
    return fs.disk.firm.get(name, _CERTAIN) < _CERTAIN


def segments(fs: SimFs) -> dict[str, bytes]:
    """Return every segment's lines by its name; none where they cannot be inflated."""
    found: dict[str, bytes] = {}
    for path, data in fs.disk.contents().items():
        name = path.rpartition("/")[2]
        if name.endswith(".ndjson.zst"):
            found.setdefault(name.removesuffix(".zst"), _inflated(data))
        elif name.endswith(".ndjson"):
            found[name] = data
    return found


def _inflated(data: bytes) -> bytes:
    try:
        return b"".join(inflate(iter([data])))
    except DamagedError:
        return b""


def quarantined(fs: SimFs) -> list[bytes]:
    """Return what recovery has set aside."""
    contents = fs.disk.contents().items()
    return [data for path, data in contents if ".ndjson.torn" in path and data.strip(b"\0")]

"""What an archive holds, compared with what the harness knows was acknowledged.

Everything that was acknowledged is read exactly once and whole; nothing is read that was not sent;
the records of one thread come in their order; every segment is sealed, sound and chained.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_exporter_ndjson import Finding, Record, Segment, find_segments, read
from otel_exporter_ndjson.audit import Tombstone, read_audit
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.recovery import Recovered, recover_service
from otel_exporter_ndjson.scan import check
from otel_exporter_ndjson.segments import service_folder
from tests.torture.ledger import Ledger
from tests.torture.records import is_whole

__all__ = ["LIFE", "Life", "Verdict", "judge", "life_of", "recover"]

LIFE: Final = 10_000_000
"""How many numbers each recording thread has for itself."""
SHOWN_MAX: Final = 5


@dataclass(slots=True)
class Life:
    """What one thread of one process sent and was told; numbers from `first` to `submitted`."""

    first: int
    submitted: int
    acknowledged: set[int]


@dataclass(slots=True)
class Verdict:
    """What was found; `faults` is empty where every promise was kept.

    Attributes:
        lost: numbers that were acknowledged and cannot be read.
        phantoms: what was read and never sent, or read twice, or not as it was sent.
        human: why the archive needs somebody to look at it.
        found: the numbers that were read.
        torn: how many torn tails were cut off and kept.
    """

    acknowledged: int = 0
    lost: list[int] = field(default_factory=list)
    phantoms: list[str] = field(default_factory=list)
    human: list[str] = field(default_factory=list)
    found: set[int] = field(default_factory=set)
    torn: int = 0

    @property
    def faults(self) -> list[str]:
        """Every broken promise in words, the first few of each kind."""
        lost = [f"lost: {number}" for number in self.lost[:SHOWN_MAX]]
        return lost + self.phantoms[:SHOWN_MAX] + self.human[:SHOWN_MAX]


def life_of(ledger: Ledger) -> Life:
    """Return what a ledger says up to now."""
    acknowledged = {n for entry in ledger.entries() if entry.ok for n in entry.numbers}
    return Life(ledger.first, ledger.submitted, acknowledged)


def recover(folder: Path, *, compress: bool = True) -> list[Recovered]:
    """Do for every service of an archive what its next start would do."""
    fs = RealFs()
    done: list[Recovered] = []
    for service in sorted(folder.glob("*/service=*")):
        descriptor = os.open(service, os.O_RDONLY)
        try:
            done += recover_service(fs, descriptor, compress=compress)
        finally:
            os.close(descriptor)
    return done


def judge(folder: Path, lives: Iterable[Life], *, ordered: bool = True) -> Verdict:
    """Recover an archive, read all of it, and compare it with what was acknowledged.

    Not `ordered` where an fsync fails: what is then written again comes after what was written
    meanwhile, when the segment that failed was no longer the open one.
    """
    verdict = Verdict()
    if folder.exists():
        troubles = [each for each in recover(folder) if each.action in ("failed", "damaged")]
        verdict.human += [
            f"recovery {each.action}: {each.name}: {each.reason}" for each in troubles
        ]
        verdict.human += unsound(folder)
        verdict.torn = sum(_holds_bytes(path) for path in folder.rglob("*.torn*"))
    known = {life.first // LIFE: life for life in lives}
    _compare(folder, known, verdict, ordered=ordered)
    for life in known.values():
        verdict.acknowledged += len(life.acknowledged)
        verdict.lost += sorted(life.acknowledged - verdict.found)
    if verdict.lost and folder.exists():  # retention removes the oldest, and says so first
        del verdict.lost[: _removed(folder)]
    return verdict


def unsound(folder: Path) -> Iterator[str]:
    """Say of each segment what is wrong with it, and of the chain where it is broken."""
    hashes: dict[tuple[str, str], str] = {}
    chains: list[tuple[Segment, object]] = []
    for segment in find_segments(folder):
        scan = check([line for _, _, line in read_lines(segment)])
        for damage in scan.damages:
            yield f"{segment.name}: line {damage.line}: {damage.message}"
        if not scan.sealed:
            yield f"{segment.name}: is not sealed"
        hashes[segment.folder_of_service, segment.name] = scan.sha256
        chains.append((segment, (scan.head or {}).get("previous")))
    for tombstone in _tombstones(folder):
        hashes.setdefault((_folder(folder, tombstone), tombstone.segment), tombstone.sha256)
    for segment, previous in chains:
        if not isinstance(previous, dict):
            continue
        before = hashes.get((segment.folder_of_service, previous["segment"]))
        if before != previous["sha256"]:
            how = "is not there" if before is None else "has another hash"
            yield f"{segment.name}: the segment before it, {previous['segment']}, {how}"


def _removed(folder: Path) -> int:
    """Return how many records were in segments that are not there and whose removal was said."""
    there = {(each.folder_of_service, each.name) for each in find_segments(folder)}
    said = {(_folder(folder, each), each.segment): each.records for each in _tombstones(folder)}
    return sum(records for segment, records in said.items() if segment not in there)


def _tombstones(folder: Path) -> list[Tombstone]:
    return list(read_audit(folder)) if (folder / "audit").exists() else []


def _folder(folder: Path, tombstone: Tombstone) -> str:
    return str(folder / tombstone.signal / service_folder(tombstone.service))


def _compare(folder: Path, known: dict[int, Life], verdict: Verdict, *, ordered: bool) -> None:
    findings: list[Finding] = []
    newest: dict[tuple[str, int], int] = {}
    for record in _records(folder, findings):
        attributes = record.data["attributes"]
        number = attributes["n"]
        life = known.get(number // LIFE)
        if life is None or number >= life.submitted or not is_whole(attributes):
            sent = None if life is None else life.submitted
            verdict.phantoms.append(
                f"never sent like this: {number} in {record.segment.name}, sent were those below "
                f"{sent}, whole is {is_whole(attributes)}"
            )
        if number in verdict.found:
            verdict.phantoms.append(f"read twice: {number} in {record.segment.name}")
        writer = (record.instance, number // LIFE)
        if ordered and number < newest.get(writer, -1):
            verdict.phantoms.append(f"out of order: {number} in {record.segment.name}")
        newest[writer] = number
        verdict.found.add(number)
    verdict.human += [f"{each.segment.name}: {each.kind}: {each.message}" for each in findings]


def _records(folder: Path, findings: list[Finding]) -> Iterator[Record]:
    if folder.exists():
        for signal in ("metrics", "events"):
            yield from read(folder, signal=signal, findings=findings)


def _holds_bytes(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(file.read(1 << 16).strip(b"\0"))

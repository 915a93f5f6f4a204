"""Segments whose bytes are cut, flipped, overwritten or moved about (faults C1 to C5).

Whatever is done to a sealed segment shows in `verify`, and reading gives what is whole and says
that something is not; to a segment that is open, a tail of anything is told from its records.
"""

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_exporter_ndjson import Finding, find_segments, read
from otel_exporter_ndjson.exporter import Arguments
from otel_exporter_ndjson.frames import compress
from otel_metrics.archive.verify import verify
from tests.torture.figures import Figures
from tests.torture.kills import SIGNALS, Signal
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.verdict import recover
from tests.torture.workers import Exporter, Load

__all__ = ["bad_blocks", "edits", "flips", "sealed", "tails", "truncations"]

BLOCK_BYTES: Final = 512
SAMPLE: Final = 97
"""Of so many bytes or bits a quick run takes one."""
TAILS: Final = 2_000
_SEAL: Final = b'{"kind":"seal"'
_PIECES: Final = (
    *(b"\0", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\x1b]0;x\x07", b"\xff\xfe", b"{", b"}", b'"'),
    *(b'{"kind":"event",', b'{"kind":"evil"}\r\n', b"garbage", b"[" * 100, b"9" * 50, b"null\n"),
)


@dataclass(slots=True)
class Sealed:
    """A small archive of one sealed segment, and what is in it."""

    folder: Path
    path: Path
    data: bytes
    records: list[bytes] = field(default_factory=list)

    def put(self, data: bytes, *, packed: bool = False) -> None:
        """Put other bytes in the segment's place, under the name of either form."""
        other = self.path.with_name(f"{self.path.name}.zst")
        target, gone = (other, self.path) if packed else (self.path, other)
        gone.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(data)

    def packed(self) -> bytes:
        """Return its compressed form."""
        return b"".join(compress([self.data], len(self.data)))

    def look(self) -> tuple[list[bytes], list[Finding], bool]:
        """Return what is read, what is told meanwhile, and whether `verify` finds nothing."""
        findings: list[Finding] = []
        raws = [record.raw for record in read(self.folder, findings=findings)]
        report = verify(self.folder)
        return raws, findings, report.intact and report.complete


def sealed(folder: Path, records: int, signal: Signal, *, bytes_max: int = 40) -> Sealed:
    """Make an archive of one writer that was closed properly."""
    arguments = Arguments(sync="never", compression="none", free_bytes_min=0)
    load = Load(signal=signal, bytes_max=bytes_max, arguments=arguments)
    exporter = Exporter(folder, load, Ledger())
    for _ in range(records):
        exporter.export()
    exporter.shutdown()
    (segment,) = find_segments(folder)
    path = Path(segment.path)
    made = Sealed(folder, path, path.read_bytes())
    made.records = [record.raw for record in read(folder)]
    return made


def truncations(plan: Plan) -> Figures:
    """Cut a segment at each byte, in both forms, and recover what a dead writer left so."""
    figures = Figures("C1 truncation at every byte")
    with figures.timed(), plan.scratch() as scratch:
        for signal, records in itertools.product(SIGNALS, (3, 8)):
            made = sealed(scratch / f"{signal}{records}", records, signal)
            for size in _sample(plan, len(made.data)):
                _cut(figures, made, size)
            packed = made.packed()
            for size in _sample(plan, len(packed)):
                made.put(packed[:size], packed=True)
                _shows(figures, made, f".zst cut at {size}")
    return figures


def flips(plan: Plan) -> Figures:
    """Flip each bit of a segment, plain and compressed."""
    figures = Figures("C2 every bit flipped")
    with figures.timed(), plan.scratch() as scratch:
        for signal, packed in itertools.product(SIGNALS, (False, True)):
            made = sealed(scratch / f"{signal}{packed}", 3, signal)
            data = made.packed() if packed else made.data
            for at in _sample(plan, 8 * len(data)):
                byte, bit = divmod(at, 8)
                flipped = data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]
                made.put(flipped, packed=packed)
                _shows(figures, made, f"{signal}, packed {packed}, bit {bit} of byte {byte}")
    return figures


def edits(plan: Plan) -> Figures:
    """Delete, repeat, swap and put in whole lines, one or several."""
    figures = Figures("C3 lines deleted, repeated, swapped")
    with figures.timed(), plan.scratch() as scratch:
        for signal in SIGNALS:
            made = sealed(scratch / signal, 8, signal)
            foreign = sealed(scratch / f"other {signal}", 8, signal, bytes_max=41).records[3]
            lines = made.data.splitlines(keepends=True)
            step = 1 if plan.thorough else 7
            for name, edited in itertools.islice(_edits(lines, foreign), 0, None, step):
                if edited in (lines, lines[:1]):  # of a first line alone nothing can be missing
                    continue
                made.put(b"".join(edited))
                _shows(figures, made, f"{signal}, {name}", known=[*made.records, foreign])
    return figures


def tails(plan: Plan) -> Figures:
    """Add anything behind the records of a dead writer: it hides none, and is kept."""
    figures = Figures("C4 tails of anything")
    dice = plan.dice(figures.fault)
    with figures.timed(), plan.scratch() as scratch:
        made = sealed(scratch / "made", 3, "events")
        whole = b"".join(made.data.splitlines(keepends=True)[:-1])
        for _ in range(TAILS if plan.thorough else TAILS // SAMPLE):
            tail = b"".join(dice.choices(_PIECES, k=dice.randint(1, 8)))
            for before in (whole, made.data):
                made.put(before + tail)
                _kept(figures, made, before, tail)
    return figures


def bad_blocks(plan: Plan) -> Figures:
    """Overwrite a block in the middle: every other record is read, the file stays as it is."""
    figures = Figures("C5 a bad block in the middle")
    dice = plan.dice(figures.fault)
    with figures.timed(), plan.scratch() as scratch:
        for signal in SIGNALS:
            made = sealed(scratch / signal, 60, signal, bytes_max=120)
            step = 37 if plan.thorough else 37 * 40
            for at in range(0, len(made.data) - BLOCK_BYTES, step):
                for block in _blocks(dice, made.data):
                    _overwritten(figures, made, at, block)
    return figures


def _cut(figures: Figures, made: Sealed, size: int) -> None:
    """Read and verify what is left of a plain segment, then recover it and do so again."""
    made.put(made.data[:size])
    ends = made.data[:size].rfind(b"\n") + 1
    expected = [raw for raw in made.records if raw in made.data[:ends]]
    raws, findings, clean = made.look()
    figures.cycles += 1
    figures.acknowledged += len(expected)
    _compare(figures, raws, expected, f"cut at {size}")
    nothing = size == ends and not expected  # nobody can say that there was more
    figures.expect(not clean or nothing, f"cut at {size}: verify finds nothing")
    figures.expect(
        [each.kind for each in findings] == (["torn_tail"] if size > ends else []),
        f"cut at {size}: {[each.message for each in findings]}",
    )
    recover(made.folder, compress=False)
    raws, findings, clean = made.look()
    _compare(figures, raws, expected, f"cut at {size}, recovered")
    figures.expect(not findings, f"cut at {size}, recovered: {findings[:1]}")
    torn = b"".join(path.read_bytes() for path in _torn(made))
    figures.torn += bool(torn)
    figures.expect(_keeps(made, made.data[:size]), f"cut at {size}: the tail is not kept")
    for path in _torn(made):
        path.unlink()


def _shows(
    figures: Figures, made: Sealed, where: str, known: Iterable[bytes] | None = None
) -> None:
    """Expect that a change is found by `verify`, and never read in silence."""
    raws, findings, clean = made.look()
    figures.cycles += 1
    figures.acknowledged += len(made.records)
    figures.expect(not clean, f"{where}: verify finds nothing")
    odd = [raw for raw in raws if raw not in set(known or made.records)]
    if odd and not findings:
        figures.phantoms += 1
        figures.violations.append(f"{where}: read in silence: {odd[0][:80]!r}")


def _kept(figures: Figures, made: Sealed, before: bytes, tail: bytes) -> None:
    """Expect that all records are read before and after a recovery, and no byte is gone."""
    figures.cycles += 1
    figures.acknowledged += len(made.records)
    sealed_before = before == made.data
    for recovered in (False, True):
        if recovered:
            recover(made.folder, compress=False)
        raws, findings, clean = made.look()
        where = f"{tail[:60]!r}, sealed {sealed_before}, recovered {recovered}"
        _compare(figures, raws, made.records, where)
        figures.expect(recovered or bool(findings), f"{where}: not told")
        figures.expect(recovered or not clean, f"{where}: verify finds nothing")
    torn = b"".join(path.read_bytes() for path in _torn(made))
    figures.torn += bool(torn)
    figures.expect(_keeps(made, before + tail), f"{tail[:60]!r}: was not kept")
    for path in _torn(made):
        path.unlink()


def _overwritten(figures: Figures, made: Sealed, at: int, block: bytes) -> None:
    spoilt = made.data[:at] + block + made.data[at + BLOCK_BYTES :]
    if spoilt == made.data:
        return
    made.put(spoilt)
    outside, offset = [], 0
    for line in made.data.splitlines(keepends=True):
        if offset + len(line) <= at or offset > at + BLOCK_BYTES:
            outside.append(line)  # with the line end before it
        offset += len(line)
    expected = [raw for raw in made.records if raw in outside]
    raws, findings, clean = made.look()
    where = f"{block[:8]!r} at {at}"
    missing = [raw for raw in expected if raw not in raws]
    figures.cycles += 1
    figures.acknowledged += len(expected)
    figures.lost += len(missing)
    figures.expect(not missing, f"{where}: {len(missing)} records beside it are not read")
    figures.expect(bool(findings) and not clean, f"{where}: nothing is told")
    recover(made.folder, compress=False)
    figures.expect(_keeps(made, spoilt), f"{where}: recovery changed it")
    for path in _torn(made):
        path.unlink()


def _compare(figures: Figures, raws: list[bytes], expected: list[bytes], where: str) -> None:
    missing = [raw for raw in expected if raw not in raws]
    odd = [raw for raw in raws if raw not in expected]
    figures.lost += len(missing)
    figures.phantoms += len(odd)
    figures.expect(raws == expected, f"{where}: lost {missing[:1]}, not sent {odd[:1]}")


def _edits(lines: list[bytes], foreign: bytes) -> Iterator[tuple[str, list[bytes]]]:
    count = len(lines)
    for first, last in itertools.combinations(range(count + 1), 2):
        yield f"lines {first} to {last} deleted", lines[:first] + lines[last:]
        yield f"lines {first} to {last} repeated", lines[:last] + lines[first:]
    for first, second in itertools.combinations(range(count), 2):
        swapped = lines.copy()
        swapped[first], swapped[second] = lines[second], lines[first]
        yield f"lines {first} and {second} swapped", swapped
    for at in range(count + 1):
        yield f"a foreign line before {at}", [*lines[:at], foreign, *lines[at:]]
        yield f"a foreign line in place of {at}", [*lines[:at], foreign, *lines[at + 1 :]]


def _blocks(dice: random.Random, data: bytes) -> Iterator[bytes]:
    yield bytes(BLOCK_BYTES)
    yield b"\n" * BLOCK_BYTES
    yield b"\xff" * BLOCK_BYTES
    yield dice.randbytes(BLOCK_BYTES)
    yield data[:BLOCK_BYTES]


def _keeps(made: Sealed, data: bytes) -> bool:
    """Whether a recovery left every byte: damage and half a seal in place, a torn tail beside."""
    left = b"".join(path.read_bytes() for path in made.folder.rglob("*.ndjson"))
    torn = b"".join(path.read_bytes() for path in _torn(made))
    return left.startswith(data) or left[: max(left.rfind(_SEAL), 0)] + torn == data


def _torn(made: Sealed) -> list[Path]:
    return sorted(made.folder.rglob("*.torn*"))


def _sample(plan: Plan, count: int) -> range:
    return range(0, count, 1 if plan.thorough else SAMPLE)

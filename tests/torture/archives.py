"""Whole segments and folders that are missing, copied, exchanged or old (faults C6, C7 and C9)."""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from otel_exporter_ndjson import find_segments, read
from otel_exporter_ndjson.exporter import Arguments
from otel_metrics.archive.checkpoint import Checkpoint, checkpoint_text, entries_of, read_checkpoint
from otel_metrics.archive.verify import Report, verify
from tests.torture.damage import sealed
from tests.torture.figures import Figures
from tests.torture.kills import SIGNALS, Signal
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.verdict import recover
from tests.torture.workers import Exporter, Load

__all__ = ["exchanged", "rolled_back", "small_archives"]

Change = tuple[str, Callable[[Path], object]]


def exchanged(plan: Plan) -> Figures:
    """Remove, copy, rename and exchange each segment, within an archive and between two."""
    figures = Figures("C6 C7 segments missing, twice, exchanged")
    with figures.timed(), plan.scratch() as scratch:
        for signal in SIGNALS:
            made, other = scratch / signal, scratch / f"other {signal}"
            count = 6 if plan.thorough else 3
            _made(made, signal, count)
            _made(other, signal, count)
            checkpoint = _checkpoint(made, scratch / f"{signal}.checkpoint")
            for name, change in _changes(_paths(made), _paths(other), made):
                folder = scratch / "changed"
                shutil.copytree(made, folder)
                change(folder)
                _not_clean(figures, verify(folder, checkpoint=checkpoint), f"{signal}, {name}")
                shutil.rmtree(folder)
    return figures


def rolled_back(plan: Plan) -> Figures:
    """Put an archive back to each earlier state; only a checkpoint can tell, and does."""
    figures = Figures("C7 archive put back to an earlier state")
    with figures.timed(), plan.scratch() as scratch:
        folder = scratch / "archive"
        states = []
        for number in range(8 if plan.thorough else 3):
            _made(folder, "events", 2)
            states.append(Path(shutil.copytree(folder, scratch / f"{number}")))
        checkpoint = _checkpoint(folder, scratch / "checkpoint")
        for old in states:
            alone = verify(old)
            figures.expect(_clean(alone), f"{old.name}: a state that was is not sound")
            if old != states[-1]:
                _not_clean(figures, verify(old, checkpoint=checkpoint), f"put back to {old.name}")
        kept = verify(folder, checkpoint=checkpoint)
        figures.expect(_clean(kept), "the newest state does not hold against its checkpoint")
    return figures


def small_archives(plan: Plan) -> Figures:
    """Look at archives with next to nothing in them; none is a crash, none hides anything."""
    figures = Figures("C9 empty, header only, first record torn")
    with figures.timed(), plan.scratch() as scratch:
        made = sealed(scratch / "archive", 1, "events")
        lines = made.data.splitlines(keepends=True)
        head = lines[0]
        for name, data, clean, expected in (
            ("nothing", b"", False, 0),
            ("zeros", bytes(4096), False, 0),
            ("half the header", head[:40], False, 0),
            ("header only", head, True, 0),
            ("first record torn", b"".join(lines[:-2]) + lines[-2][:50], False, 0),
            ("sealed", made.data, True, 1),
        ):
            made.put(data)
            records = len(list(read(made.folder)))
            figures.cycles += 1
            figures.acknowledged += expected
            figures.expect(records == expected, f"{name}: {records} records were read")
            figures.expect(_clean(verify(made.folder)) == clean, f"{name}: the verdict is wrong")
            recover(made.folder, compress=False)
            again = verify(made.folder)
            figures.expect(again.intact, f"{name}: not intact after a recovery")
            for path in made.folder.rglob("*.torn*"):
                path.unlink()
        shutil.rmtree(made.folder / "events")
        figures.expect(_clean(verify(made.folder)), "an archive of nothing is not sound")
    return figures


def _made(folder: Path, signal: Signal, count: int) -> None:
    """Add a writer with so many sealed segments to an archive."""
    arguments = Arguments(sync="never", compression="none", rotate_bytes="4KiB", free_bytes_min=0)
    exporter = Exporter(folder, Load(signal=signal, bytes_max=900, arguments=arguments), Ledger())
    before = len(find_segments(folder)) if folder.exists() else 0
    exporter.export()
    while len(find_segments(folder)) < before + count:
        exporter.export()
    exporter.shutdown()


def _changes(paths: list[Path], others: list[Path], made: Path) -> Iterator[Change]:
    """Return what is done to a copy of an archive, by its name."""
    inside = [path.relative_to(made) for path in paths]
    for path, other in zip(inside, others, strict=True):
        name, foreign = path.name, other.read_bytes()
        packed = path.with_name(f"{name}.zst")
        yield f"{name} removed", partial(_remove, path)
        for new in (f"2099{name[4:]}", f"{name[:-8]}9.ndjson"):
            yield f"{name} as {new}, too", partial(_copy, path, path.with_name(new))
            yield f"{name} renamed to {new}", partial(_rename, path, path.with_name(new))
        yield f"{name} of another archive", partial(_put, path, foreign)
        yield f"{name} beside a compressed one of another", partial(_put, packed, foreign)
    for one, two in itertools.combinations(inside, 2):
        yield f"{one.name} and {two.name} exchanged", partial(_exchange, one, two)


def _remove(path: Path, folder: Path) -> None:
    (folder / path).unlink()


def _copy(path: Path, new: Path, folder: Path) -> None:
    shutil.copy(folder / path, folder / new)


def _rename(path: Path, new: Path, folder: Path) -> None:
    (folder / path).rename(folder / new)


def _put(path: Path, data: bytes, folder: Path) -> None:
    (folder / path).unlink(missing_ok=True)
    (folder / path).write_bytes(data)


def _exchange(first: Path, second: Path, folder: Path) -> None:
    one, two = (folder / first).read_bytes(), (folder / second).read_bytes()
    _put(first, two, folder)
    _put(second, one, folder)


def _paths(folder: Path) -> list[Path]:
    return [Path(segment.path) for segment in find_segments(folder)]


def _checkpoint(folder: Path, target: Path) -> Checkpoint:
    report = verify(folder)
    text = checkpoint_text(report.archive, entries_of(report.segments), now_ns=time.time_ns())
    target.write_bytes(text)
    return read_checkpoint(target, {})


def _clean(report: Report) -> bool:
    return report.intact and report.complete


def _not_clean(figures: Figures, report: Report, where: str) -> None:
    figures.cycles += 1
    figures.acknowledged += sum(each.scan.records for each in report.segments)
    figures.expect(not _clean(report), f"{where}: verify finds nothing")

"""Somebody moves, cuts or removes what a process is writing to (faults B9 and D9).

The process sees it within an interval and begins anew, as another writer. What was there by then is
where somebody put it, or gone, and then counted; everything after it is kept.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otel_exporter_ndjson.exporter import Arguments
from tests.torture.figures import Figures
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.verdict import Life, Verdict, judge, life_of
from tests.torture.workers import Exporter, Load, start

__all__ = ["REMOVALS", "removed_under_a_writer"]

BEFORE: Final = 30
"""How many records there are when it happens."""
SEEN_S: Final = 0.3
"""After an interval, and what a busy machine adds, no more than this is under way to nowhere."""
SOME_NS: Final = 2 * 10**8
"""For so long it records afterwards."""
_LOAD: Final = Load(
    bytes_max=200, arguments=Arguments(sync_interval="1ms", rotate_bytes="1MiB", free_bytes_min=0)
)


def _remove_archive(archive: Path, _aside: Path) -> None:
    shutil.rmtree(archive, ignore_errors=True)  # it may be making new files there already


def _move_archive(archive: Path, aside: Path) -> None:
    archive.rename(aside)


def _replace_archive(archive: Path, aside: Path) -> None:
    archive.rename(aside)
    archive.mkdir(mode=0o700)


def _remove_service(archive: Path, _aside: Path) -> None:
    shutil.rmtree(archive / "events" / "service=torture", ignore_errors=True)


def _remove_segment(archive: Path, _aside: Path) -> None:
    _open_one(archive).unlink()


def _move_segment(archive: Path, aside: Path) -> None:
    found = _open_one(archive)
    target = aside / found.relative_to(archive)
    target.parent.mkdir(parents=True)
    found.rename(target)


def _truncate(archive: Path, _aside: Path) -> None:
    os.truncate(_open_one(archive), 0)


def _copy_and_truncate(archive: Path, aside: Path) -> None:
    found = _open_one(archive)
    target = aside / found.relative_to(archive)
    target.parent.mkdir(parents=True)
    shutil.copyfile(found, target)
    os.truncate(found, 0)


REMOVALS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "B9 rm -r of the archive": _remove_archive,
    "B9 mv of the archive": _move_archive,
    "B9 archive replaced by an empty folder": _replace_archive,
    "B9 rm -r of the service's folder": _remove_service,
    "D9 rm of the open segment": _remove_segment,
    "D9 mv of the open segment": _move_segment,
    "D9 truncate of the open segment": _truncate,
    "D9 copytruncate of the open segment": _copy_and_truncate,
}
"""What somebody does, with an archive and with a place for what is moved."""
_CUT: Final = (_truncate, _copy_and_truncate)
_GONE: Final = (_remove_archive, _remove_service, _remove_segment)


def removed_under_a_writer(plan: Plan, name: str) -> Figures:
    """Do it to a process that records, at other moments each time."""
    figures = Figures(name)
    dice = plan.dice(name)
    with figures.timed(), plan.scratch() as scratch:
        for number in range(20 if plan.thorough else 1):
            parent = scratch / f"{number}"
            parent.mkdir()
            _once(figures, parent, REMOVALS[name], dice.uniform(0, 0.01))
    return figures


def _once(
    figures: Figures, parent: Path, removal: Callable[[Path, Path], None], wait_s: float
) -> None:
    archive, aside = parent / "archive", parent / "aside"
    ledger = Ledger()
    worker = start(_recording(archive), ledger)
    worker.await_count(BEFORE)
    time.sleep(wait_s)
    removal(archive, aside)
    done_ns = time.monotonic_ns()
    deadline_ns = done_ns + int(SEEN_S * 10**9)
    worker.await_that(lambda: time.monotonic_ns() > deadline_ns + SOME_NS)
    ledger.go()
    status = worker.wait()
    figures.cycles += 1
    figures.expect(status == 0, f"it ended with {status}")
    late = {
        number
        for entry in ledger.entries()
        if entry.ok and entry.time_ns > deadline_ns
        for number in entry.numbers
    }
    figures.expect(bool(late), "nothing was acknowledged afterwards")
    figures.expect(ledger.log_lines > 0, "nothing was logged")
    _judged(figures, removal, life_of(ledger), ledger.removed, late, (archive, aside))


def _judged(
    figures: Figures,
    removal: Callable[[Path, Path], None],
    life: Life,
    removed: int,
    late: set[int],
    folders: tuple[Path, Path],
) -> None:
    """Everything late is there; what is missing is counted, or nothing is."""
    archive, aside = folders
    here, there = judge(archive, [life]), judge(aside, [life])
    found = here.found | there.found
    lost = life.acknowledged - found
    verdict = Verdict(len(life.acknowledged), sorted(late - found), found=found)
    if removal not in _CUT:  # what follows a cut begins in the middle of a line
        verdict.phantoms = here.phantoms + there.phantoms
    figures.add(verdict)
    figures.remark = f"{len(lost)} gone in the last, {removed} counted"
    if removal in _GONE:
        figures.expect(len(lost) == removed, f"{len(lost)} are gone, {removed} were counted")
    elif removal not in _CUT:
        figures.expect(not lost, f"{len(lost)} are gone though nothing was removed")


def _recording(archive: Path) -> Callable[[Ledger], None]:
    def body(ledger: Ledger) -> None:
        exporter = Exporter(archive, _LOAD, ledger)
        while not ledger.going and not ledger.is_full:
            exporter.export()
            time.sleep(0.0005)
        exporter.shutdown()

    return body


def _open_one(archive: Path) -> Path:
    return max((archive / "events").rglob("*.ndjson"))

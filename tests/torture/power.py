"""Power cuts under load, on real file systems (fault B1).

What counts as acknowledged is what the harness knew before the cut: a file system that is shutting
down may still let a few calls through. In mode `always` nothing of that may be missing; in mode
`interval` only what is younger than the interval, and nothing that a flush had promised; in mode
`never` something must be missing, or the machine does not lose what it should.
"""

import random
import shutil
import time
from pathlib import Path
from typing import Final

from otel_exporter_ndjson.exporter import Arguments
from otel_exporter_ndjson.fs import Fs
from tests.torture.figures import Figures
from tests.torture.ledger import Entry, Ledger
from tests.torture.mounts import Disk, Kind, disk
from tests.torture.plan import Plan
from tests.torture.verdict import LIFE, Life, Verdict, judge
from tests.torture.workers import Load, record, start

__all__ = ["power_cuts"]

ARCHIVE_CUTS: Final = 10
"""How many cuts an archive lives through before another is begun."""
INTERVAL_S: Final = 0.02
SLACK_S: Final = 0.8
"""What a busy machine may add to an interval: two fsyncs, and a thread that has to wait."""
_WAITS: Final = {"always": 0.03, "never": 0.03, "interval": 1.2}


def power_cuts(plan: Plan, kind: Kind, sync: str, cuts: int, fs: Fs | None = None) -> Figures:
    """Cut the power of a disk again and again while a process records; `fs` may plant a fault."""
    name = f"B1 power cut, {kind}, {sync}"
    figures = Figures(name)
    with figures.timed(), plan.scratch() as parent, disk(parent, kind) as made:
        _cut_often(made, _load(sync, fs), cuts, plan.dice(name), figures)
    if sync == "never" and figures.not_run is None:
        figures.expect(figures.lost > 0, "blind: nothing is lost without fsync")
        figures.remark = "the control: it must lose"
    return figures


def _load(sync: str, fs: Fs | None) -> Load:
    return Load(
        pause_s=0.0002 if sync == "interval" else 0.0,
        flush_every=None if sync == "never" else 50,
        arguments=Arguments(
            sync=sync, sync_interval=INTERVAL_S * 1000, rotate_bytes="256KiB", fs=fs
        ),
    )


def _cut_often(made: Disk, load: Load, cuts: int, dice: random.Random, figures: Figures) -> None:
    sync = load.arguments["sync"] or ""
    lives: list[Life] = []
    torn = 0
    archive = made.folder / "archive"
    for number in range(cuts):
        if number % ARCHIVE_CUTS == 0:
            shutil.rmtree(archive, ignore_errors=True)
            archive = made.folder / f"archive {number}"  # a cut may bring back what was removed
            lives, torn = [], 0
        ledger = Ledger(number * LIFE)
        lives.append(_cut(made, archive, load, ledger, dice.uniform(0, _WAITS[sync]), sync))
        verdict = judge(archive, lives)
        verdict.acknowledged = len(lives[-1].acknowledged)
        verdict.torn, torn = verdict.torn - torn, verdict.torn
        figures.cycles += 1
        _add(figures, verdict, sync, number)
        for life in lives:  # what is lost is lost once
            life.acknowledged &= verdict.found


def _cut(made: Disk, archive: Path, load: Load, ledger: Ledger, wait_s: float, sync: str) -> Life:
    """Cut the power of one process; return what had been promised before."""
    worker = start(record(archive, load), ledger)
    worker.await_count(1)
    time.sleep(wait_s)
    known, flushed, cut_ns = list(ledger.entries()), ledger.flushed, time.monotonic_ns()
    made.cut()
    worker.kill()
    made.again()
    promised = {
        number
        for entry in known
        if entry.ok and _is_promised(entry, sync, flushed, cut_ns)
        for number in entry.numbers
    }
    return Life(ledger.first, ledger.submitted, promised)


def _is_promised(entry: Entry, sync: str, flushed: int, cut_ns: int) -> bool:
    old = entry.time_ns < cut_ns - int((INTERVAL_S + SLACK_S) * 10**9)
    return sync != "interval" or old or entry.first < flushed


def _add(figures: Figures, verdict: Verdict, sync: str, number: int) -> None:
    if sync == "never":  # what it loses is no fault; what it keeps must be whole all the same
        figures.lost += len(verdict.lost)
        verdict.lost = []
    figures.add(verdict, f"cut {number}: ")

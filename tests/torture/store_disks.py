"""Disks that fail under databases: I/O errors for a while, and power cuts (faults I-6 and I-4).

An error of the disk is no damage: nothing is moved aside, no caller of the sovereignty store
notices it, and what a ledger refused was not booked. A power cut may take the last transactions,
whole: what the archive has of them comes back into the store, and a ledger's figures agree with its
entries.
"""

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from otel_metrics import sovereignty
from otel_metrics.budgets import BudgetLedger, BudgetUnavailable
from tests.otel_metrics.budgets.ledgers import disagreements, entries
from tests.torture.figures import Figures
from tests.torture.ledger import Ledger
from tests.torture.mounts import Kind, disk
from tests.torture.plan import Plan
from tests.torture.stores import archived_in, begin, is_made_whole, rows_in
from tests.torture.tracing import injected, waiting
from tests.torture.workers import start

__all__ = ["cut_databases", "failing_ledger", "failing_store"]

CALLS: Final = ("pwrite64", "pread64", "fdatasync", "ftruncate")
"""What SQLite asks of a disk once its files are open."""
FIRST: Final = (1, 4, 15)
"""From which call of a thread on each fails; in a thorough run from all of them up to the last."""
RECORDS: Final = 150
"""How many records there are while the fault lasts."""
AFTER: Final = 3
"""How many there are once it is gone."""
AGAIN_S: Final = 30.0
"""How long it may take until all is written; a store rests for a second between two tries."""
CALL_S_MAX: Final = 5.0
"""Nobody waits so long, on a machine however busy."""
LOG_LINES_MAX: Final = 6
"""One for the beginning and one for the end, of each of two stores and of the catching up."""
CUT_WAIT_S: Final = 0.4
"""The power is cut within this time of the first acknowledgement."""


class Work(Protocol):
    """Something that records numbers into a database."""

    def begin(self) -> None:
        """Open it, in the process that records."""

    def record(self, number: int) -> bool:
        """Record a number, and say whether it was acknowledged."""

    def is_written(self) -> bool:
        """Tell whether all that was acknowledged is in the file by now."""

    def end(self) -> None:
        """Close it."""


class Storing:
    """Records into a store, by the module and by an object in turn, and into an archive."""

    def __init__(self, folder: Path, sync: str) -> None:
        self._folder = folder
        self._sync = sync

    def begin(self) -> None:
        """See `Work`."""
        self._telemetry = begin(self._folder, self._sync)
        self._store = sovereignty.SovereigntyStore(self._folder / "s.db")

    def record(self, number: int) -> bool:
        """See `Work`."""
        (self._store if number % 2 else sovereignty).record("api_call", {"n": number})
        return True

    def is_written(self) -> bool:
        """See `Work`."""
        return self._store.flush(1.0) and self._telemetry.flush(1.0)["sovereignty_db"].ok

    def end(self) -> None:
        """See `Work`."""
        self._store.close()
        self._telemetry.shutdown()


class Spending:
    """Spends one token for each number, and reserves and settles another one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self) -> None:
        """See `Work`."""
        self._ledger = BudgetLedger(self._path, wait_s=0.1)
        with contextlib.suppress(BudgetUnavailable):
            self._ledger.define("acme", 10**6, tenant="acme")

    def record(self, number: int) -> bool:
        """See `Work`."""
        try:
            if number % 2:
                self._ledger.spend(1, tenant="acme")
            else:
                with self._ledger.reserve(9, tenant="acme") as reserved:
                    reserved.settle(1)
        except BudgetUnavailable:
            return False
        return True

    def is_written(self) -> bool:
        """See `Work`."""
        return True

    def end(self) -> None:
        """See `Work`."""
        self._ledger.close()


def failing_store(plan: Plan) -> Figures:
    """Let calls of the disk fail from the n-th on, and then work again."""
    figures = Figures("I-6 I/O errors, sovereignty store")
    noticed = 0
    with figures.timed(), plan.scratch() as scratch:
        for call, first in _faults(plan):
            folder, where = scratch / f"{call}-{first}", f"{call} {first}: "
            folder.mkdir()
            ledger = _failed_for_a_while(figures, Storing(folder, "interval"), call, first)
            noticed += ledger.log_lines > 0
            lines, slowest_s = ledger.log_lines, ledger.slowest_ns / 1e9
            figures.expect(lines <= LOG_LINES_MAX, f"{where}{lines} lines were logged")
            figures.expect(slowest_s < CALL_S_MAX, f"{where}a caller waited {slowest_s:.1f} s")
            missing = len(set(archived_in(folder)) - set(rows_in(folder)))
            figures.expect(not missing, f"{where}{missing} rows are in the archive only")
            _judge_store(figures, folder, _acknowledged(ledger), where)
        figures.expect(noticed > 0, "blind: no store noticed an error")
    return figures


def failing_ledger(plan: Plan) -> Figures:
    """The same under a ledger of budgets, which refuses meanwhile."""
    figures = Figures("I-6 I/O errors, ledger of budgets")
    refused = 0
    with figures.timed(), plan.scratch() as scratch:
        for call, first in _faults(plan):
            path, where = scratch / f"{call}-{first}.db", f"{call} {first}: "
            ledger = _failed_for_a_while(figures, Spending(path), call, first)
            answers = [entry.ok for entry in ledger.entries()]
            refused += answers.count(False)
            figures.expect(all(answers[-AFTER:]), f"{where}nothing was booked afterwards")
            booked = _judge_ledger(figures, path, where)
            figures.acknowledged += answers.count(True)
            figures.expect(
                booked == answers.count(True),
                f"{where}{answers.count(True)} acknowledged, {booked} booked",
            )
        figures.expect(refused > 0, "blind: no spend was refused")
    return figures


def cut_databases(plan: Plan, kind: Kind, cuts: int) -> Figures:
    """Cut the power under a store, beside an archive in mode `always`, and under a ledger."""
    figures = Figures(f"I-4 power cut, {kind}, databases")
    dice = plan.dice(figures.fault)
    gone = 0
    with figures.timed(), plan.scratch() as parent, disk(parent, kind) as made:
        for number in range(cuts):
            folder, where = made.folder / f"{number}", f"cut {number}: "
            folder.mkdir()
            works = (Storing(folder, "always"), Spending(folder / "b.db"))
            workers = [start(_endless(work), Ledger()) for work in works]
            for worker in workers:
                worker.await_count(1)
            time.sleep(dice.uniform(0, CUT_WAIT_S))
            stored, spent = (_acknowledged(worker.ledger) for worker in workers)
            made.cut()
            for worker in workers:
                worker.kill()
            made.again()
            figures.expect(is_made_whole(folder), f"{where}the store is not made whole")
            _judge_store(figures, folder, stored, where)
            booked = _judge_ledger(figures, folder / "b.db", where)
            gone += max(0, len(spent) - booked)
            figures.cycles += 1
    figures.remark = f"{gone} of the last spends are gone with the power, as they may be"
    return figures


def _faults(plan: Plan) -> Iterator[tuple[str, int]]:
    for call in CALLS:
        for first in range(1, FIRST[-1] + 1) if plan.thorough else FIRST:
            yield call, first


def _failed_for_a_while(figures: Figures, work: Work, call: str, first: int) -> Ledger:
    """Record while a call of the disk fails, and after that; return what was acknowledged.

    From an odd number of calls on the files are there already, from an even one they are made.
    """
    if first % 2:
        start(_opened(work), Ledger()).wait()
    ledger = Ledger()
    worker = waiting(_through(work), ledger)
    try:
        with injected(worker, f"{call}:error=EIO:when={first}+"):
            ledger.go()
            worker.await_count(RECORDS)
        ledger.go()
        status = worker.wait()
    finally:
        worker.kill()
    figures.cycles += 1
    figures.expect(status == 0, f"{call} {first}: the process ended with {status}")
    return ledger


def _through(work: Work) -> Callable[[Ledger], None]:
    """Return the body of a process that goes on when the fault is over."""

    def body(ledger: Ledger) -> None:
        logger = logging.getLogger("otel_metrics.sovereignty")
        logger.handlers, logger.propagate = [_Lines(ledger)], False
        work.begin()
        for number in range(RECORDS):
            _record(work, ledger, number)
        while ledger.going < 2:
            time.sleep(0.001)
        _await_written(work)
        for number in range(RECORDS, RECORDS + AFTER):
            _record(work, ledger, number)
        _await_written(work)
        work.end()

    return body


def _await_written(work: Work) -> None:
    until_s = time.monotonic() + AGAIN_S
    while not work.is_written() and time.monotonic() < until_s:
        pass


def _opened(work: Work) -> Callable[[Ledger], None]:
    def body(_: Ledger) -> None:
        work.begin()
        work.end()

    return body


def _endless(work: Work) -> Callable[[Ledger], None]:
    def body(ledger: Ledger) -> None:
        work.begin()
        while not ledger.is_full:
            _record(work, ledger, ledger.count)

    return body


def _record(work: Work, ledger: Ledger, number: int) -> None:
    ledger.submit(number + 1)
    began_ns = time.monotonic_ns()
    ok = work.record(number)
    ledger.took(time.monotonic_ns() - began_ns)
    ledger.acknowledge(number, 1, ok=ok)


class _Lines(logging.Handler):
    """Counts lines of the log where the harness sees them."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self._lines += 1
        self._ledger.logged(self._lines)


def _acknowledged(ledger: Ledger) -> set[int]:
    return {number for entry in ledger.entries() if entry.ok for number in entry.numbers}


def _judge_store(figures: Figures, folder: Path, acknowledged: set[int], where: str) -> None:
    """Everything acknowledged is a row, once, in a sound file that is the first one."""
    numbers = [json.loads(str(row[5]))["n"] for row in rows_in(folder)]
    lost = acknowledged - set(numbers)
    figures.acknowledged += len(acknowledged)
    figures.lost += len(lost)
    figures.expect(not lost, f"{where}{len(lost)} rows are missing")
    figures.expect(len(numbers) == len(set(numbers)), f"{where}rows are there twice")
    _judge_file(figures, folder / "s.db", where)


def _judge_ledger(figures: Figures, path: Path, where: str) -> int:
    """What is used is the sum of the entries, and the ledger goes on; return how many there are."""
    ledger = BudgetLedger(path)
    ledger.spend(0, tenant="acme")
    ledger.close()
    figures.violations += [f"{where}{each}" for each in disagreements(path)]
    _judge_file(figures, path, where)
    return len(entries(path)) - 1


def _judge_file(figures: Figures, path: Path, where: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        (said,) = file.execute("PRAGMA integrity_check").fetchone()
    figures.expect(said == "ok", f"{where}{path.name}: {said}")
    aside = [each.name for each in path.parent.glob(f"{path.name}.damaged-*")]
    figures.expect(not aside, f"{where}taken for damaged: {aside}")

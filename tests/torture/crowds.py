"""Many at once in one archive: threads, processes, services, recoveries (faults A8, D1, D4, D5).

Each writer has files of its own and holds their locks while it lives, even where it is stopped; so
nobody's lines mix, nobody takes over what is not dead, and every record is there, counted exactly.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from otel_exporter_ndjson.exporter import Arguments
from otel_exporter_ndjson.fs import Fs
from otel_metrics.archive.verify import verify
from tests.torture.dead import contents, copied, leave_dead
from tests.torture.figures import Figures
from tests.torture.kills import Signal
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.verdict import LIFE, judge, life_of, recover
from tests.torture.workers import Exporter, Load, Worker, record, start

__all__ = ["crowd", "recoveries_at_once", "services_together", "stopped_writer"]

RECOVERIES: Final = 8
STOPPED_S: Final = 5.0
_SMALL: Final = Load(
    bytes_max=300, arguments=Arguments(sync_interval="1ms", rotate_bytes="16KiB", free_bytes_min=0)
)


def crowd(plan: Plan, kind: Signal, fs: Fs | None = None) -> Figures:
    """Record from many threads of many processes; `fs` may plant a fault."""
    processes, threads, exports = (16, 16, 100) if plan.thorough else (4, 8, 10)
    figures = Figures(f"D1 {processes} processes of {threads} threads, {kind}")
    arguments = Arguments(**{**_SMALL.arguments, "fs": fs})
    load = replace(_SMALL, signal=kind, exports=exports, arguments=arguments)
    with figures.timed(), plan.scratch() as parent:
        body = _threads(parent / "archive", load)
        workers = [
            start(body, *[Ledger((number * threads + each) * LIFE) for each in range(threads)])
            for number in range(processes)
        ]
        _ended(figures, workers, exports, parent / "archive")
    return figures


def services_together(plan: Plan) -> Figures:
    """Let processes of several services write to one archive, two processes each."""
    figures = Figures("D4 services in one archive")
    exports = 2_000 if plan.thorough else 100
    services = ("a", "a", "b", "b", "a/b", "..")
    with figures.timed(), plan.scratch() as parent:
        workers = [
            start(
                record(parent / "archive", replace(_SMALL, service=service, exports=exports)),
                Ledger(number * LIFE),
            )
            for number, service in enumerate(services)
        ]
        _ended(figures, workers, exports, parent / "archive")
        segments = verify(parent / "archive").segments
        found = {each.segment.service for each in segments}
        figures.expect(found == set(services), f"of services {services} there are {found}")
    return figures


def recoveries_at_once(plan: Plan) -> Figures:
    """Begin recoveries of the same dead writers together; they leave what one alone leaves."""
    figures = Figures(f"D5 {RECOVERIES} recoveries at once")
    with figures.timed(), plan.scratch() as scratch:
        lives = leave_dead(scratch / "dead")
        expected = contents(copied(scratch / "dead", scratch / "alone"), recovered=True)
        for number in range(200 if plan.thorough else 5):
            folder = copied(scratch / "dead", scratch / "together")
            gate = Ledger()
            workers = [start(_recovering(folder, gate), Ledger()) for _ in range(RECOVERIES)]
            gate.go()
            ends = [worker.wait() for worker in workers]
            figures.cycles += 1
            figures.expect(not any(ends), f"{number}: recoveries ended with {ends}")
            recover(folder)  # what one left to another that held it is for the next start
            same = contents(folder) == expected
            figures.expect(same, f"{number}: not the bytes that one recovery leaves")
            figures.add(judge(folder, lives), f"{number}: ")
    return figures


def stopped_writer(plan: Plan) -> Figures:
    """Stop a writer for a while; others begin meanwhile, and nobody takes what it holds."""
    figures = Figures("A8 stopped and continued")
    cycles = 5 if plan.thorough else 1
    with figures.timed(), plan.scratch() as scratch:
        for number in range(cycles):
            _stopped(figures, scratch / f"{number}", STOPPED_S if plan.thorough else 0.0)
    return figures


def _stopped(figures: Figures, folder: Path, seconds: float) -> None:
    ledger, other = Ledger(), Ledger(LIFE)
    worker = start(_until_told(folder), ledger)
    worker.await_count(20)
    os.kill(worker.pid, signal.SIGSTOP)
    os.waitpid(worker.pid, os.WUNTRACED)
    held = {path: path.read_bytes() for path in folder.rglob("*.ndjson")}
    newest = max(held)
    touched = [each.name for each in recover(folder) if each.name == newest.name]
    beside = start(record(folder, replace(_SMALL, exports=50)), other)
    ended = beside.wait()
    time.sleep(seconds)
    same = newest.exists() and newest.read_bytes() == held[newest]
    figures.expect(not touched and same, "what a stopped writer holds was taken over")
    figures.expect(ended == 0 and other.count == 50, "another writer could not work meanwhile")
    os.kill(worker.pid, signal.SIGCONT)
    before = ledger.count
    figures.expect(worker.await_count(before + 20), "it did not go on")
    ledger.go()
    figures.expect(worker.wait() == 0, "it did not end")
    figures.expect(newest.name in _written_by(folder), "its segment is not there any more")
    figures.cycles += 1
    figures.add(judge(folder, [life_of(ledger), life_of(other)]))


def _until_told(folder: Path) -> Callable[[Ledger], None]:
    def body(ledger: Ledger) -> None:
        exporter = Exporter(folder, _SMALL, ledger)
        while not ledger.going:
            exporter.export()
            time.sleep(0.0005)
        exporter.shutdown()

    return body


def _written_by(folder: Path) -> set[str]:
    return {path.name.removesuffix(".zst") for path in folder.rglob("*.ndjson*")}


def _threads(folder: Path, load: Load) -> Callable[..., None]:
    """Return the body of a process whose threads share one exporter, each with its ledger."""

    def body(*ledgers: Ledger) -> None:
        exporter = Exporter(folder, load, ledgers[0])
        begin = threading.Barrier(len(ledgers))

        def run(ledger: Ledger) -> None:
            mine = exporter.beside(ledger)
            begin.wait()
            for _ in range(load.exports or 0):
                mine.export()

        threads = [threading.Thread(target=run, args=(ledger,)) for ledger in ledgers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        exporter.shutdown()

    return body


def _recovering(folder: Path, gate: Ledger) -> Callable[[Ledger], None]:
    def body(_: Ledger) -> None:
        while not gate.going:
            time.sleep(0.0005)
        recover(folder)

    return body


def _ended(figures: Figures, workers: list[Worker], exports: int, archive: Path) -> None:
    """Wait for processes; everything was acknowledged, is there once, and verifies."""
    ends = [worker.wait() for worker in workers]
    figures.cycles = len(workers)
    figures.expect(not any(ends), f"processes ended with {ends}")
    ledgers = [ledger for worker in workers for ledger in worker.ledgers]
    lives = [life_of(ledger) for ledger in ledgers]
    verdict = judge(archive, lives)
    figures.add(verdict)
    acknowledged = sum(len(life.acknowledged) for life in lives)
    figures.expect(
        acknowledged == exports * len(ledgers) == len(verdict.found),
        f"{exports * len(ledgers)} sent, {acknowledged} acknowledged, {len(verdict.found)} read",
    )
    report = verify(archive)
    figures.expect(
        report.intact and report.complete,
        f"verify: {[problem.message for problem in report.problems][:3]}",
    )

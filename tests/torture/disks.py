"""Disks that fill, fail, stall or go read-only under a process that records (faults B4 to B11).

In each: nothing that was acknowledged is lost, what was refused is refused to the caller, no caller
waits, and work goes on by itself as soon as the fault is gone.
"""

import os
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from otel_exporter_ndjson.exporter import Arguments
from tests.torture.figures import Figures
from tests.torture.ledger import Ledger
from tests.torture.mounts import read_only, resize, tmpfs
from tests.torture.plan import Plan
from tests.torture.tracing import injected, waiting
from tests.torture.verdict import LIFE, judge, life_of
from tests.torture.workers import Exporter, Load, Worker, record, start

__all__ = [
    "failing_write",
    "floor",
    "full",
    "limits",
    "out_of_inodes",
    "stalled_fsync",
    "written_to_read_only",
]

EXPORTS: Final = 60
"""How many exports a process makes while the fault lasts."""
AFTER: Final = 3
"""How many it makes once one has worked again."""
AGAIN_S: Final = 5.0
"""How long it may take until work goes on."""
LOG_LINES_MAX: Final = 2
"""Of each kind of work: no fault lasts a minute here, and in a minute no more is logged."""
TMPFS_BYTES: Final = 2**16
ROOM_BYTES: Final = 2**20
"""The disk once it is not full: what the archive holds by then may leave no room in less."""
PAGE_BYTES: Final = 4096
NOBODY: Final = 65534
_SMALL: Final = Load(
    bytes_max=1000,
    arguments=Arguments(sync_interval="1ms", rotate_bytes="4KiB", free_bytes_min=0),
)


def full(plan: Plan, sync: str) -> Figures:
    """Fill a real file system page by page, so that each kind of work finds it full once."""
    figures = Figures(f"B5 full disk at each point, {sync}")
    load = replace(_SMALL, arguments=Arguments(**{**_SMALL.arguments, "sync": sync}))
    step = PAGE_BYTES if plan.thorough else 3 * PAGE_BYTES
    refused = 0
    with figures.timed(), plan.scratch() as parent, tmpfs(parent, f"size={TMPFS_BYTES}") as disk:
        for room in range(0, TMPFS_BYTES, step):
            resize(disk, f"size={TMPFS_BYTES}")
            filler = disk / "filler"
            filler.write_bytes(bytes(TMPFS_BYTES - room))
            refused += _through(
                figures,
                disk / "archive",
                load,
                lambda disk=disk: resize(disk, f"size={ROOM_BYTES}"),  # type: ignore[misc] # mypy cannot infer a lambda's default
                f"{room} free: ",
            )
            shutil.rmtree(disk / "archive", ignore_errors=True)
            filler.unlink()
        figures.expect(refused > 0, "blind: the disk was never full")
    return figures


def out_of_inodes(plan: Plan) -> Figures:
    """Let a file system run out of inodes at each folder and file that is made."""
    figures = Figures("B6 no inode left at each point")
    refused = 0
    with figures.timed(), plan.scratch() as parent:
        for inodes in range(2, 14, 1 if plan.thorough else 3):
            with tmpfs(parent, f"size=4m,nr_inodes={inodes}") as disk:
                refused += _through(
                    figures,
                    disk / "archive",
                    _SMALL,
                    lambda disk=disk: resize(disk, "nr_inodes=1000"),  # type: ignore[misc] # mypy cannot infer a lambda's default
                    f"{inodes} inodes: ",
                )
        figures.expect(refused > 0, "blind: there was always an inode")
    return figures


def floor(plan: Plan) -> Figures:
    """Let a disk come near its end: metrics stop first, then events, and both come back."""
    figures = Figures("B7 metrics stop before events")
    with figures.timed(), plan.scratch() as parent, tmpfs(parent, "size=2m") as disk:
        for free, signal, refusing in (
            (1_500_000, "metrics", False),
            (700_000, "metrics", True),
            (700_000, "events", False),
            (300_000, "events", True),
        ):
            filler = disk / "filler"
            filler.write_bytes(bytes(2 * 2**20 - free))
            arguments = Arguments(free_bytes_min="1MB", sync_interval="1ms")
            load = Load(signal=signal, bytes_max=100, arguments=arguments)  # type: ignore[arg-type] # one of the two
            where = f"{signal}, {free} free: "
            refused = _through(figures, disk / "archive", load, filler.unlink, where)
            figures.expect(bool(refused) == refusing, f"{where}{refused} were refused")
            shutil.rmtree(disk / "archive", ignore_errors=True)
    return figures


def limits(plan: Plan) -> Figures:
    """Take descriptors, the file size and rights away for a while."""
    figures = Figures("B8 EMFILE, EFBIG, EACCES")
    with figures.timed(), plan.scratch() as parent:
        _limited(figures, parent / "descriptors", resource.RLIMIT_NOFILE, 9)
        _limited(figures, parent / "size", resource.RLIMIT_FSIZE, 10_000)
        _without_rights(figures, parent / "rights")
    return figures


def written_to_read_only(plan: Plan) -> Figures:
    """Begin where nothing can be written, until it can."""
    figures = Figures("B8 EROFS")
    with figures.timed(), plan.scratch() as parent, read_only(parent / "bound") as writable:
        refused = _through(figures, parent / "bound" / "archive", _SMALL, writable, "EROFS: ")
        figures.expect(refused > 0, "blind: EROFS refused nothing")
    return figures


def failing_write(plan: Plan) -> Figures:
    """Let one write fail at each point, and then every write for a while."""
    figures = Figures("B4 write fails once, and for long")
    with figures.timed(), plan.scratch() as parent:
        for when in range(1, 40, 1 if plan.thorough else 9):
            refused = _injected(figures, parent / f"{when}", f"write:error=EIO:when={when}")
            figures.expect(refused == 0, f"write {when}: EIO once refused {refused}")
        refused = _injected(figures, parent / "long", f"write:error=EIO:when=10..{EXPORTS}")
        figures.expect(refused > 0, "blind: EIO for long refused nothing")
        figures.cycles += 1
    return figures


def stalled_fsync(plan: Plan) -> Figures:
    """Let each fsync take seconds: in mode `interval` no caller waits for it.

    But the very first of an archive, which gives it an id that must not change with a power cut.
    """
    seconds = 5 if plan.thorough else 3
    figures = Figures(f"B11 fsync takes {seconds} s")
    load = replace(_SMALL, exports=1_000, bytes_max=100, pause_s=0.0005)
    with figures.timed(), plan.scratch() as parent:
        first, ledger = Ledger(LIFE), Ledger()
        start(record(parent / "archive", replace(_SMALL, exports=1)), first).wait()
        worker = waiting(record(parent / "archive", load), ledger)
        try:
            with injected(worker, f"fdatasync:delay_enter={seconds}s"):
                ledger.go()
                worker.await_count(load.exports or 0)
                slowest_s = ledger.slowest_ns / 1e9
                worker.kill()
        finally:
            worker.kill()
        figures.cycles = 1
        figures.remark = f"the slowest export took {slowest_s * 1000:.1f} ms"
        figures.expect(slowest_s < seconds / 2, f"a caller waited {slowest_s:.3f} s")
        figures.add(judge(parent / "archive", [life_of(first), life_of(ledger)]))
    return figures


def _through(
    figures: Figures, archive: Path, load: Load, clear: Callable[[], object], where: str
) -> int:
    """Record while a fault lasts and after it is cleared; return how many were refused."""
    ledger = Ledger()
    worker = start(_recording(archive, load), ledger)
    worker.await_count(EXPORTS)
    clear()
    ledger.go()
    return _judged(figures, worker, archive, where)


def _recording(archive: Path, load: Load) -> Callable[[Ledger], None]:
    def body(ledger: Ledger) -> None:
        exporter = Exporter(archive, load, ledger)
        for _ in range(EXPORTS):
            exporter.export()
        while not ledger.going:
            time.sleep(0.0002)
        _go_on(exporter)

    return body


def _go_on(exporter: Exporter) -> None:
    until_s = time.monotonic() + AGAIN_S
    while not exporter.export() and time.monotonic() < until_s:
        time.sleep(0.01)
    for _ in range(AFTER):
        exporter.export()
    exporter.shutdown()


def _judged(
    figures: Figures, worker: Worker, archive: Path, where: str, *, ordered: bool = True
) -> int:
    status, ledger = worker.wait(), worker.ledger
    entries = list(ledger.entries())
    figures.cycles += 1
    figures.expect(status == 0, f"{where}the process ended with {status}")
    figures.expect(all(each.ok for each in entries[-AFTER:]), f"{where}work did not go on")
    lines = ledger.log_lines
    figures.expect(lines <= LOG_LINES_MAX, f"{where}{lines} lines of one kind were logged")
    figures.add(judge(archive, [life_of(ledger)], ordered=ordered), where)
    return sum(not each.ok for each in entries)


def _limited(figures: Figures, archive: Path, kind: int, soft: int) -> None:
    """Lower a limit of a process for a while, after its first record."""

    def body(ledger: Ledger) -> None:
        exporter = Exporter(archive, _SMALL, ledger)
        exporter.export()
        before = resource.getrlimit(kind)
        resource.setrlimit(kind, (soft, before[1]))
        for _ in range(EXPORTS):
            exporter.export()
        resource.setrlimit(kind, before)
        _go_on(exporter)

    worker = start(body, Ledger())
    _judged(figures, worker, archive, f"{archive.name}: ", ordered=kind != resource.RLIMIT_NOFILE)


def _without_rights(figures: Figures, parent: Path) -> None:
    """Record as somebody who may not write there until he may."""
    parent.mkdir()

    def body(ledger: Ledger) -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        _recording(parent / "archive", _SMALL)(ledger)

    closed = [each for each in [parent, *parent.parents] if not os.stat(each).st_mode & 0o001]
    if closed or os.geteuid() != 0:
        where = f", and others may not pass {closed[-1]}" if closed else ""
        figures.remark = f"EACCES not run: it needs root{where}"
        return
    ledger = Ledger()
    worker = start(body, ledger)
    worker.await_count(EXPORTS)
    os.chown(parent, NOBODY, NOBODY)
    ledger.go()
    refused = _judged(figures, worker, parent / "archive", "EACCES: ")
    figures.expect(refused > 0, "blind: EACCES refused nothing")


def _injected(figures: Figures, archive: Path, fault: str) -> int:
    """Record while a fault is injected; return how many exports were refused."""
    ledger = Ledger()

    def body(ledger: Ledger) -> None:
        exporter = Exporter(archive, _SMALL, ledger)
        for _ in range(EXPORTS):
            exporter.export()
        _go_on(exporter)

    worker = waiting(body, ledger)
    try:
        with injected(worker, fault):
            ledger.go()
            return _judged(figures, worker, archive, f"{fault}: ")
    finally:
        worker.kill()

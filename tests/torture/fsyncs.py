"""An fsync that fails once, and a disk that then has lost what it was to keep (fault B3).

`strace` makes one `fdatasync` of a segment fail and writes down every call. What was written to the
segment since the fsync before is then overwritten by zeros in the file, as a power cut would show
it: the kernel has marked those pages clean, and no later fsync writes them. Whatever was
acknowledged must be in another segment.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_exporter_ndjson.exporter import Arguments
from otel_exporter_ndjson.fs import Fs
from tests.torture.figures import Figures
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.tracing import injected, waiting
from tests.torture.verdict import Verdict, judge, life_of
from tests.torture.workers import Exporter, Load

__all__ = ["failed_fsync"]

EXPORTS: Final = 30
SAMPLE: Final = 10
_CALL = re.compile(r"(\w+)\(\d+<([^>]*)>.*= (-?\d+)(.*)")
_UNFINISHED: Final = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")


@dataclass(frozen=True, slots=True)
class Hole:
    """What a disk did not keep of a file."""

    path: Path
    start: int
    end: int


def failed_fsync(plan: Plan, sync: str, fs: Fs | None = None) -> Figures:
    """Let the n-th `fdatasync` fail, lose what it was for, and read; `fs` may plant a fault."""
    figures = Figures(f"B3 fsync fails once, {sync}")
    arguments = Arguments(
        sync=sync, sync_interval="1ms", rotate_bytes="4KiB", compression="none", fs=fs
    )
    holes = 0
    with figures.timed(), plan.scratch() as parent:
        for when in range(2, EXPORTS, 1 if plan.thorough else SAMPLE):
            folder = parent / f"{when}"
            folder.mkdir()
            lost = list(_failed_once(figures, folder, Load(arguments=arguments), when))
            holes += len(lost)
        figures.expect(holes > 0, "blind: no fsync of a segment failed")
    return figures


def _failed_once(figures: Figures, parent: Path, load: Load, when: int) -> Iterator[Hole]:
    archive, log, ledger = parent / "archive", parent / "calls", Ledger()
    worker = waiting(_recording(archive, load), ledger)
    fault = f"fdatasync:error=EIO:when={when}"
    try:
        with injected(worker, fault, log=log, also=("write",)):
            ledger.go()
            status = worker.wait()
    finally:
        worker.kill()
    figures.cycles += 1
    figures.expect(status == 0, f"{fault}: it ended with {status}")
    for hole in _holes(log.read_text(errors="replace").splitlines()):
        if hole.path.suffix == ".ndjson" and hole.path.exists():
            with hole.path.open("r+b") as file:
                file.seek(hole.start)
                file.write(bytes(hole.end - hole.start))
            yield hole
    found = judge(archive, [life_of(ledger)], ordered=False)  # what is written again comes later
    figures.add(Verdict(found.acknowledged, found.lost, found.phantoms), f"{fault}: ")


def _recording(archive: Path, load: Load) -> Callable[[Ledger], None]:
    """Return the body of a process that is gone at once at its end, and seals nothing."""

    def body(ledger: Ledger) -> None:
        exporter = Exporter(archive, load, ledger)
        for _ in range(EXPORTS):
            exporter.export()
            exporter.flush()

    return body


def _holes(log: list[str]) -> Iterator[Hole]:
    """Return what was written to each file between its last good fsync and one that failed."""
    written: dict[str, int] = {}
    synced: dict[str, int] = {}
    for call, path, result, injection in _calls(log):
        size = written.get(path, 0)
        if call == "write" and result > 0:
            written[path] = size + result
        elif call == "fdatasync" and "INJECTED" in injection:
            yield Hole(Path(path), synced.get(path, 0), size)
        elif call == "fdatasync":
            synced[path] = size


def _calls(log: list[str]) -> Iterator[tuple[str, str, int, str]]:
    """Return name, file, result and what follows it of each call, joined where it was broken."""
    begun: dict[str, str] = {}
    for line in log:
        thread, _, text = line.partition(" ")
        if text.endswith(_UNFINISHED):
            begun[thread] = text.removesuffix(_UNFINISHED)
            continue
        if _RESUMED.match(text.lstrip()):
            text = begun.pop(thread, "") + _RESUMED.sub("", text, count=1)
        match = _CALL.match(text.lstrip())
        if match is not None:
            yield match[1], match[2], int(match[3]), match[4]

"""Windows of service telemetry under kills: each that is over is kept once, with all its samples.

The clock runs `SPEED` times as fast, and stands still while no process runs, so that windows are
open across lives and many of them close.
"""

import os
import random
import signal
import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import otel_metrics
from otel_metrics.archive.feed import EventFeed
from otel_metrics.catalog.loader import builtin
from otel_metrics.service.keeper import Keeper
from otel_metrics.service.samples import Resource, Sample
from otel_metrics.service.snapshots import moment
from otel_metrics.service.store import ANNOUNCED_AT_ONCE, GRACE_S, ServiceStore
from otel_metrics.service.windows import window_of
from tests.torture.figures import Figures
from tests.torture.plan import Plan

__all__ = ["killed_windows"]

METRIC: Final = "infra.cpu_utilization"
WINDOW_S: Final = 1
SPEED: Final = 200.0
BEGIN: Final = 1_800_000_000.0
KILL_WAIT_S: Final = 0.05
"""A process is killed within this time of its first sample: within ten windows."""
DOWN_S: Final = 3.0
"""So long no process runs, by the windows' clock."""
LIVES: Final = 30
"""How many lives share a file before it is judged."""
TAKEN_BETWEEN: Final = 5
"""Samples between two looks for windows that are over."""
_TIME: Final = struct.Struct("d")


def killed_windows(plan: Plan, cycles: int) -> Figures:
    """Kill processes that sample and close windows, and let the next one go on."""
    figures = Figures("I-4 kill, windows of service telemetry")
    dice, again = plan.dice(figures.fault), 0
    with figures.timed():
        while figures.cycles < cycles:
            lives = min(LIVES, cycles - figures.cycles)
            with plan.scratch() as folder:
                acknowledged: list[float] = []
                now = BEGIN
                for _ in range(lives):
                    now, taken = _life(folder, dice, now)
                    acknowledged += taken
                    now += dice.uniform(0, DOWN_S)
                figures.cycles += lives
                _finish(folder, now + WINDOW_S + 2 * GRACE_S)
                again += _judge(figures, folder, acknowledged, lives)
    figures.remark = f"{again} events were emitted again, with the same id"
    return figures


def _life(folder: Path, dice: random.Random, begin: float) -> tuple[float, list[float]]:
    """Let a process sample until it is killed; return when that was, and the times of the samples
    that were taken."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            _sample(folder, begin, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as acknowledgements:
        (began,) = _TIME.unpack(acknowledgements.read(_TIME.size))
        time.sleep(dice.uniform(0, KILL_WAIT_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed = begin + (time.monotonic() - began) * SPEED
        times = acknowledgements.read()
    return killed, [at for (at,) in _TIME.iter_unpack(times[: len(times) // 8 * 8])]


def _sample(folder: Path, begin: float, writing: int) -> None:
    began = time.monotonic()
    keeper = _keeper(folder, lambda: begin + (time.monotonic() - began) * SPEED)
    began = time.monotonic()
    os.write(writing, _TIME.pack(began))
    number = 0
    while True:
        number += 1
        at = begin + (time.monotonic() - began) * SPEED
        keeper.take(_cpu(at))
        os.write(writing, _TIME.pack(at))
        if number % TAKEN_BETWEEN == 0:
            keeper.flush()


def _cpu(at: float) -> Sample:
    return Sample(
        metric=METRIC, resource=Resource("host", "h"), value=at % 100, observed_at=at, band="good"
    )


def _keeper(folder: Path, clock: Callable[[], float]) -> Keeper:
    otel_metrics.configure(
        service_name="torture",
        metrics_exporter=["ndjson"],
        ndjson_path=folder / "archive",
        host_metrics="off",
    )
    store = ServiceStore(folder / "service.db")
    return Keeper(builtin().metrics, window_s=WINDOW_S, store=store, clock=clock)


def _finish(folder: Path, now: float) -> None:
    """Start a last time, in a process of its own, when all windows are over."""
    child = os.fork()
    if not child:
        done = False
        try:
            done = _keeper(folder, lambda: now).flush()
        finally:
            os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0


def _judge(figures: Figures, folder: Path, acknowledged: list[float], lives: int) -> int:
    """Compare rows with samples and events; return how many events were emitted again."""
    rows = _rows(folder)
    events = _events(folder)
    taken = Counter(moment(window_of(at, WINDOW_S).end) for at in acknowledged)
    kept = {row["window_end"]: int(row["sample_count"]) for row in rows}
    lost = sum(max(0, count - kept.get(end, 0)) for end, count in taken.items())
    more = sum(max(0, count - taken[end]) for end, count in kept.items())
    figures.acknowledged += len(acknowledged)
    figures.lost += lost
    figures.phantoms += max(0, more - lives)
    figures.expect(not lost, f"{lost} samples are in no snapshot")
    figures.expect(more <= lives, f"{more} samples more than were taken, in {lives} lives")
    figures.expect(len(kept) == len(rows), "a window has two snapshots")
    figures.expect(not sum(row["late_samples"] for row in rows), "a sample was late")
    figures.expect(
        set(events) == {row["snapshot_id"] for row in rows}, "events are not those of the rows"
    )
    again = events.total() - len(events)
    figures.expect(again <= ANNOUNCED_AT_ONCE * lives, f"{again} events were emitted again")
    return again


def _rows(folder: Path) -> list[Mapping[str, Any]]:
    with closing(sqlite3.connect(folder / "service.db", timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        assert connection.execute("SELECT count(*) FROM samples").fetchone()[0] == 0
        return [dict(row) for row in connection.execute("SELECT * FROM metrics_snapshots")]


def _events(folder: Path) -> Counter[str]:
    """Return how often each snapshot was announced."""
    feed = EventFeed(path=str(folder / "archive"), prefix="service.")
    return Counter(
        str(fed.attributes["snapshot_id"])
        for fed in feed.events_after({})
        if fed.name == "service.snapshot"
    )

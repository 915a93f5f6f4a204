"""The sovereignty store under kills, and databases under many processes (faults I-2 and I-4)."""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import otel_metrics
from otel_metrics import sovereignty
from otel_metrics.archive.feed import EventFeed
from otel_metrics.sovereignty.rows import EVENTS, Event, Mark, Position, of_event
from otel_metrics.sqlite import Database, Schema
from tests.torture.figures import Figures
from tests.torture.plan import Plan

__all__ = [
    "archived_in",
    "begin",
    "is_made_whole",
    "killed_stores",
    "mixed_operations",
    "rows_in",
]

KILL_WAIT_S: Final = 0.03
"""A process is killed within this time of its first acknowledgement."""
LIVES: Final = 25
"""How many lives share a store before it is judged."""
WHOLE_WAIT_S: Final = 60.0
"""How long the last start may take to make a store whole."""
PROCESSES: Final = 4
OPERATIONS: Final = 100_000
OPERATIONS_QUICK: Final = 4_000
_NOTES: Final = Schema(
    name="torture", application_id=0x7047, migrations=["CREATE TABLE notes (n INTEGER)"]
)


def killed_stores(plan: Plan, cycles: int) -> Figures:
    """Kill processes that record, and let the next start make the store whole."""
    figures = Figures("I-4 kill, sovereignty store")
    dice = plan.dice(figures.fault)
    with figures.timed():
        while figures.cycles < cycles:
            lives = min(LIVES, cycles - figures.cycles)
            with plan.scratch() as folder:
                acknowledged = sum(_life(folder, dice) for _ in range(lives))
                figures.cycles += lives
                figures.acknowledged += acknowledged
                _judge(figures, folder, acknowledged)
    return figures


def mixed_operations(plan: Plan) -> Figures:
    """Read, write, and read before writing, from several processes at once."""
    figures = Figures("I-2 mixed operations")
    each = OPERATIONS if plan.thorough else OPERATIONS_QUICK
    with figures.timed(), plan.scratch() as folder:
        path = folder / "notes.db"
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=_operate, args=(path, seed, each)) for seed in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        with Database(path, _NOTES).read() as connection:
            numbers = [n for (n,) in connection.execute("SELECT n FROM notes ORDER BY rowid")]
        figures.cycles = each * PROCESSES
        figures.acknowledged = len(numbers)
        failed = sum(process.exitcode != 0 for process in processes)
        figures.expect(not failed, f"{failed} processes were refused")
        figures.expect(
            numbers == list(range(1, len(numbers) + 1)), "what was read was not the last"
        )
    return figures


def _operate(path: Path, seed: int, rounds: int) -> None:
    dice = random.Random(seed)
    database = Database(path, _NOTES, busy_wait_s=120)
    for _ in range(rounds):
        if dice.random() < 0.5:
            with database.read() as connection:
                connection.execute("SELECT count(*) FROM notes WHERE n > 0 LIMIT 1").fetchone()
        else:
            with database.write() as connection:
                last = connection.execute("SELECT n FROM notes ORDER BY rowid DESC LIMIT 1")
                (number,) = last.fetchone() or (0,)
                connection.execute("INSERT INTO notes VALUES (?)", (number + 1,))


def begin(folder: Path, sync: str = "interval") -> otel_metrics.Telemetry:
    """Start telemetry with an archive and a store in a folder."""
    return otel_metrics.configure(
        service_name="torture",
        metrics_exporter=["ndjson"],
        ndjson_path=folder / "archive",
        sovereignty_db=folder / "s.db",
        host_metrics="off",
        ndjson_sync=sync,
    )


def _life(folder: Path, dice: random.Random) -> int:
    """Let a process record until it is killed; return how many calls returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            _record(folder, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as acknowledgements:
        first = acknowledgements.read(1)
        time.sleep(dice.uniform(0, KILL_WAIT_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return len(first + acknowledgements.read())


def _record(folder: Path, writing: int) -> None:
    begin(folder)
    store = sovereignty.SovereigntyStore(folder / "s.db")
    number = 0
    while True:
        number += 1
        if number % 10 == 0:
            sovereignty.start_session(f"{os.getpid()}-{number}", "torture")
        elif number % 3:
            sovereignty.record("api_cost", {"cost_usd": 0.25, "n": number}, session_id="s")
        else:
            store.record("decision_rule_hit", {"n": number})
        os.write(writing, b".")


def _judge(figures: Figures, folder: Path, acknowledged: int) -> None:
    """Start once more, and compare the store with the archive."""
    whole = is_made_whole(folder)
    rows = rows_in(folder)
    lost = set(archived_in(folder)) - set(rows)
    figures.lost += len(lost) + max(0, acknowledged - len(rows))
    figures.phantoms += len(set(rows) - set(archived_in(folder))) + len(rows) - len(set(rows))
    figures.expect(whole, f"the store is not whole: {len(lost)} rows are missing")
    figures.expect(acknowledged <= len(rows), f"{acknowledged} acknowledged, {len(rows)} kept")


def is_made_whole(folder: Path) -> bool:
    """Start telemetry in a process of its own, until the store has what the archive has."""
    child = os.fork()
    if not child:
        whole = False
        try:
            telemetry = begin(folder)
            deadline = time.monotonic() + WHOLE_WAIT_S
            while not (whole := rows_in(folder) == archived_in(folder)):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            telemetry.shutdown()
        finally:
            os._exit(0 if whole else 1)
    return os.waitpid(child, 0)[1] == 0


def rows_in(folder: Path) -> list[tuple[object, ...]]:
    """Return what is in the store, in order."""
    with closing(sqlite3.connect(folder / "s.db", timeout=10)) as connection:
        events = connection.execute(
            "SELECT name, number, timestamp, event_type, session_id, metadata_json, cost_usd"
            " FROM events JOIN writers ON writers.id = writer"
        ).fetchall()
        marks = connection.execute(
            "SELECT name, number, timestamp, session_id, kind, game"
            " FROM session_marks JOIN writers ON writers.id = writer"
        ).fetchall()
    return sorted(events + marks, key=repr)


def archived_in(folder: Path) -> list[tuple[object, ...]]:
    """Return what the archive says that is to be in the store, in order."""
    feed = EventFeed(path=str(folder / "archive"), prefix=EVENTS)
    rows: list[Event | Mark | None] = [
        of_event(fed.name, fed.attributes, fed.time_ns, Position(*fed[1:4]))
        for fed in feed.events_after({})
        if fed.name
    ]
    return sorted((tuple(row) for row in rows if row is not None), key=repr)

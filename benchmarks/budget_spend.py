"""What does a spend cost, beside what people write by hand?

Each subject does the same: check one tenant's daily quota of tokens, add to it, refuse what is too
much. Ours also checks a monthly budget in dollars, books an entry, and is asked by threads and
processes at once; the others are as short as such code is:
- a file of JSON, under `flock`, written anew and renamed into place;
- the same with an fsync, so that a crash does not lose it;
- a table of SQLite with its defaults, one transaction a spend;
- the same in WAL with `synchronous=NORMAL`, the connection kept: the least that SQLite can do.

Then eight processes spend at once, and the sum of what passed must be the limit.

Reproduce: .venv/bin/python benchmarks/budget_spend.py
"""

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from otel_metrics.budgets import BudgetExceeded, BudgetLedger

SPENDS = 1_500
ROUNDS = 3
LIMIT = 10**12
PROCESSES = 8
SHARED_SPENDS = 1_000
SHARED_LIMIT = 5_000

BARS = {
    "JSON file / ours": 2.0,
    "JSON file with fsync / ours": 4.0,
    "SQLite by default / ours": 5.0,
}
"""How many times cheaper ours must be, at the median."""

Spend = Callable[[int], None]


class ExceededError(Exception):
    """What code by hand raises."""


def ours(folder: Path) -> Spend:
    """Spend of a ledger with two budgets."""
    ledger = BudgetLedger(folder / "budgets.db")
    ledger.define("tenant-daily", LIMIT, tenant="*")
    ledger.define("bill", 10**6, unit="USD", period="month")

    def spend(tokens: int) -> None:
        ledger.spend(tokens, usd=0.0001, tenant="acme")

    return spend


def reserving(folder: Path) -> Spend:
    """Reserve and settle: two transactions."""
    ledger = BudgetLedger(folder / "reserved.db")
    ledger.define("tenant-daily", LIMIT, tenant="*")
    ledger.define("bill", 10**6, unit="USD", period="month")

    def spend(tokens: int) -> None:
        with ledger.reserve(2 * tokens, usd=0.0001, tenant="acme") as reserved:
            reserved.settle(tokens)

    return spend


def json_file(folder: Path, *, sync: bool) -> Spend:
    """Rewrite a file under a lock."""
    path, lock = folder / f"budgets-{sync}.json", folder / f"budgets-{sync}.lock"
    path.write_text(json.dumps({}))

    def spend(tokens: int) -> None:
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            used = json.loads(path.read_text())
            key = f"acme/{time.strftime('%Y-%m-%d', time.gmtime())}"
            if used.get(key, 0) + tokens > LIMIT:
                raise ExceededError
            used[key] = used.get(key, 0) + tokens
            new = path.with_suffix(".new")
            with new.open("w") as file:
                json.dump(used, file)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            new.replace(path)

    return spend


def sqlite_table(folder: Path, *, tuned: bool) -> Spend:
    """One transaction on one row."""
    connection = sqlite3.connect(folder / f"table-{tuned}.db", isolation_level=None)
    if tuned:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE used (tenant, day, tokens, PRIMARY KEY (tenant, day))")

    def spend(tokens: int) -> None:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute(
            "SELECT tokens FROM used WHERE tenant = ? AND day = ?", ("acme", day)
        ).fetchone()
        used = row[0] if row else 0
        if used + tokens > LIMIT:
            connection.execute("ROLLBACK")
            raise ExceededError
        connection.execute(
            "INSERT OR REPLACE INTO used VALUES (?, ?, ?)", ("acme", day, used + tokens)
        )
        connection.execute("COMMIT")

    return spend


def times_us(spend: Spend, spends: int) -> list[float]:
    """Return what each of a number of spends took."""
    taken = []
    for _ in range(spends):
        begun = time.perf_counter()
        spend(10)
        taken.append((time.perf_counter() - begun) * 1e6)
    return taken


def measure(folder: Path) -> dict[str, list[float]]:
    """Let the subjects spend in turn, so that a busy machine is busy for all."""
    subjects = {
        "ours": ours(folder),
        "ours, reserve and settle": reserving(folder),
        "JSON file": json_file(folder, sync=False),
        "JSON file with fsync": json_file(folder, sync=True),
        "SQLite by default": sqlite_table(folder, tuned=False),
        "SQLite, tuned": sqlite_table(folder, tuned=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, spend in subjects.items():
            times_us(spend, 20)
            taken[name] += times_us(spend, SPENDS // ROUNDS)
    return {name: sorted(values) for name, values in taken.items()}


def spend_of_shared(path: str) -> None:
    """Spend of a ledger that other processes spend of, and print how often that passed."""
    ledger = BudgetLedger(path)
    passed, taken = 0, []
    for _ in range(SHARED_SPENDS):
        begun = time.perf_counter()
        try:
            ledger.spend(1, tenant="acme")
            passed += 1
        except BudgetExceeded:
            pass
        taken.append((time.perf_counter() - begun) * 1e6)
    print(json.dumps([passed, sorted(taken)]))


def measure_shared(folder: Path) -> tuple[int, list[float], float]:
    """Return what passed of several processes at once, what each spend took, and the seconds."""
    path = str(folder / "shared.db")
    BudgetLedger(path).define("tenant-daily", SHARED_LIMIT, tenant="*", period="month")
    begun = time.perf_counter()
    command = [sys.executable, __file__, path]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    said = [json.loads(process.communicate()[0]) for process in running]
    seconds = time.perf_counter() - begun
    return sum(each[0] for each in said), sorted(us for each in said for us in each[1]), seconds


def at(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Print the figures, and end with 1 when a bar is missed."""
    with tempfile.TemporaryDirectory() as name:
        taken = measure(Path(name))
        passed, shared, seconds = measure_shared(Path(name))
    print(f"{'one spend, microseconds':28} {'p50':>9} {'p99':>9}")
    for subject, values in taken.items():
        print(f"{subject:28} {at(values, 0.5):9.1f} {at(values, 0.99):9.1f}")
    print()
    met = True
    for ratio, bar in BARS.items():
        peer = at(taken[ratio.removesuffix(" / ours")], 0.5)
        value = peer / at(taken["ours"], 0.5)
        met &= value >= bar
        print(f"{ratio:40} {value:6.1f} (bar: {bar}{'' if value >= bar else ', MISSED'})")
    floor = at(taken["ours"], 0.5) / at(taken["SQLite, tuned"], 0.5)
    print(f"{'ours / SQLite, tuned (no bar)':40} {floor:6.1f}")
    print()
    rate = PROCESSES * SHARED_SPENDS / seconds
    print(f"{PROCESSES} processes: {passed} of {SHARED_LIMIT} passed, {rate:,.0f} spends a second,")
    print(f"with the start of Python; p50 {at(shared, 0.5):.0f}, p99 {at(shared, 0.99):.0f} us")
    sys.exit(not (met and passed == SHARED_LIMIT))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        spend_of_shared(sys.argv[1])
    else:
        main()

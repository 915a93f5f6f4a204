"""Exact over the processes of a host, whoever is killed, forked or held up."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from otel_metrics import budgets
from otel_metrics.budgets import BudgetExceeded, BudgetLedger, BudgetUnavailable
from otel_metrics.sqlite import forks
from otel_metrics.testing import capture
from tests.otel_metrics.budgets.ledgers import disagreements, entries

SPENDER = """
import sys
from otel_metrics.budgets import BudgetExceeded, BudgetLedger
ledger = BudgetLedger(sys.argv[1], wait_s=60)
booked = refused = 0
for turn in range(int(sys.argv[2])):
    try:
        if turn % 4:
            ledger.spend(7, usd=0.001, tenant="acme", skill="triage")
        else:
            with ledger.reserve(9, usd=0.002, tenant="acme", skill="triage") as reserved:
                reserved.settle(7, usd=0.001)
        booked += 1
    except BudgetExceeded:
        refused += 1
print(booked, refused)
"""
ENDLESS = """
import random, sys
from otel_metrics.budgets import BudgetLedger
ledger = BudgetLedger(sys.argv[1])
print("ready", flush=True)
for turn in range(10**9):
    with ledger.reserve(50, tenant="acme", time_limit_s=0.2) as reserved:
        reserved.settle(random.randrange(100), usd=0.0001)
    ledger.spend(3, tenant="acme", idempotency_key=f"{sys.argv[2]}-{turn}")
    print(turn, flush=True)
"""
REPORT = """
import json, sys
import otel_metrics
telemetry = otel_metrics.configure(metrics_exporter="ndjson", budgets_db=sys.argv[1])
telemetry.flush(10)
print(otel_metrics.budgets.remaining(tenant="acme"))
"""


def program(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a program with arguments."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A file in memory: a disk that stalls in a spend makes forks wait, which is not asked here."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder) / "budgets.db"


@pytest.fixture
def shared(path: Path) -> BudgetLedger:
    """A ledger on the machine's clock, which may pass no end of a month in a test."""
    ledger = BudgetLedger(path, wait_s=60)
    ledger.define("tenant-daily", 10**9, tenant="*", period="month")
    return ledger


@pytest.mark.slow
def test_eight_processes_spend_exactly_the_limit(shared: BudgetLedger, path: Path) -> None:
    """Not one token more, whichever of three budgets ends first; every refusal is counted."""
    shared.define("acme", 7_000, tenant="acme", period="month")
    shared.define("bill", 100, unit="USD", period="month")
    processes = [program(SPENDER, path, 400) for _ in range(8)]
    said = [process.communicate(timeout=100)[0].split() for process in processes]

    booked = sum(int(each[0]) for each in said)
    refused = sum(int(each[1]) for each in said)
    # Near the end a reservation of 9 finds no room where a spend of 7 does.
    standing = next(each for each in shared.list() if each.name == "acme")
    assert (booked, refused) == (1_000, 2_200)
    assert (standing.used, standing.reserved, standing.refusals) == (7_000, 0, 2_200)
    assert len(entries(path)) == 1_000
    assert disagreements(path) == []


@pytest.mark.slow
def test_a_kill_at_any_moment_parts_no_figure_from_its_entries(
    shared: BudgetLedger, path: Path
) -> None:
    """40 processes are killed while they spend. What they had said is booked, what they held
    expires, and a process that starts after them shows what the entries add up to."""
    acknowledged = 0
    for number in range(40):
        process = program(ENDLESS, path, number)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0, 0.03))  # the moment of the kill, not a wait
        process.send_signal(signal.SIGKILL)
        with process:
            acknowledged += len(process.stdout.read().splitlines())

    booked = entries(path)
    assert len([each for each in booked if each[2] is None]) >= acknowledged > 0
    assert disagreements(path) == []
    total = sum(tokens or 0 for _, tokens, _ in booked)
    reported = subprocess.run(
        [sys.executable, "-c", REPORT, path], capture_output=True, text=True, check=True
    )
    assert int(reported.stdout) == 10**9 - total
    with capture() as seen:
        budgets.use(shared)
        assert seen.value("budget.used", _gauge("tenant-daily/acme")) == total
        assert seen.value("budget.remaining", _gauge("tenant-daily/acme")) == 10**9 - total
    budgets.use(None)


def _gauge(name: str) -> dict[str, str]:
    return {"budget.name": name, "budget.unit": "token"}


def test_threads_of_one_process_spend_exactly_the_limit(shared: BudgetLedger, path: Path) -> None:
    """They share a connection, and wait for each other."""
    shared.define("acme", 500, tenant="acme", period="month")

    def spend(_: int) -> bool:
        try:
            shared.spend(1, tenant="acme")
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        booked = sum(pool.map(spend, range(1_600)))

    assert booked == 500
    assert len(entries(path)) == 500


def test_a_forked_child_spends_of_the_same_budget(
    shared: BudgetLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While threads of the parent are within a spend; what the parent holds it does not give
    back."""
    monkeypatch.setattr(forks, "FORK_WAIT_S", 30.0)  # for a thread that a busy machine holds up
    stop = threading.Event()
    spent = [0, 0]

    def spend(number: int) -> None:
        while not stop.is_set():
            shared.spend(1, tenant="acme")
            spent[number] += 1

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    with shared.reserve(1_000, tenant="acme") as reserved:
        children = [_forked(lambda: _spend_and_leave(shared)) for _ in range(10)]
        statuses = [os.waitpid(child, 0)[1] for child in children]
        stop.set()
        for thread in threads:
            thread.join()
        assert next(each.reserved for each in shared.list() if each.subject == "acme") == 1_000
        reserved.release()

    assert statuses == [0] * 10
    assert sum(tokens or 0 for _, tokens, _ in entries(path)) == sum(spent) + 10 * 20 * 5
    assert disagreements(path) == []


def _forked(work: Callable[[], None]) -> int:
    """Run something in a forked child, which then ends without the test runner's exit hooks."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _spend_and_leave(ledger: BudgetLedger) -> None:
    for _ in range(20):
        ledger.spend(5, tenant="acme")


def test_a_child_that_leaves_its_parents_block_gives_nothing_back(
    shared: BudgetLedger, path: Path
) -> None:
    """An exception that ends the child passes through the block that the parent is in."""
    block = shared.reserve(1_000, tenant="acme")
    block.__enter__()
    child = _forked(lambda: block.__exit__(SystemExit, SystemExit(), None))

    assert os.waitpid(child, 0)[1] == 0
    assert next(each.reserved for each in shared.list() if each.subject == "acme") == 1_000


@pytest.mark.slow
def test_a_ledger_that_is_held_for_a_moment_is_waited_for(shared: BudgetLedger, path: Path) -> None:
    """A second is nothing to a backup or a checkpoint."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        threading.Timer(1, lambda: other.execute("ROLLBACK")).start()
        shared.spend(5, tenant="acme")

        assert time.monotonic() - begun > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_a_ledger_that_is_held_for_long_refuses(
    shared: BudgetLedger, path: Path, threads: int
) -> None:
    """After the wait that was given, for all threads together, and books nothing; then it works
    again. What can be read can be read all the while."""
    impatient = BudgetLedger(path, wait_s=2.0)

    def spend(_: int) -> str:
        with pytest.raises(BudgetUnavailable) as raised:
            impatient.spend(5, tenant="acme")
        return str(raised.value)

    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            messages = list(pool.map(spend, range(threads)))
        taken_s = time.monotonic() - begun
        assert impatient.remaining(tenant="acme") == 10**9

    assert 2 <= taken_s < 7  # one after the other, four would take 8
    assert all(message.startswith(f"{path}: ") for message in messages)
    impatient.spend(5, tenant="acme")
    assert len(entries(path)) == 1


def test_who_asks_for_it_spends_without_a_ledger(shared: BudgetLedger, path: Path) -> None:
    """`allow` lets a spend pass that cannot be checked, and counts it."""
    lenient = BudgetLedger(path, wait_s=0.05, when_unavailable="allow")
    with capture(strict=False) as seen, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        receipt = lenient.spend(5, tenant="acme")
        with lenient.reserve(5, tenant="acme") as reserved:
            pass
        other.execute("ROLLBACK")
        rejected = {"metric": "budget.used", "reason": "ledger_unavailable"}
        assert seen.value("metric.rejected", rejected) == 3

    assert (receipt.is_checked, reserved.settle().is_checked) == (False, False)
    assert entries(path) == []


def test_a_signal_handler_within_a_spend_does_not_hang(shared: BudgetLedger, path: Path) -> None:
    """Both are booked, one after the other, once the ledger is free."""
    answers: list[str] = []

    def spend(number: int, frame: object) -> None:
        try:
            shared.spend(1, tenant="acme")
            answers.append("booked")
        except BudgetUnavailable as error:
            answers.append(str(error))

    before = signal.signal(signal.SIGALRM, spend)
    try:
        with closing(sqlite3.connect(path, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            threading.Timer(0.3, lambda: other.execute("ROLLBACK")).start()
            shared.spend(2, tenant="acme")
    finally:
        signal.signal(signal.SIGALRM, before)

    assert answers == ["booked"]
    assert sorted(entries(path)) == [("acme", 1, None), ("acme", 2, None)]

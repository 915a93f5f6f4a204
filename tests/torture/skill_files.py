"""Skill files that processes share, one of which is killed (faults A1 and D7).

What was acknowledged is read once and as it was sent, whoever died meanwhile; no line is a mixture
of two. The only line that may not be whole is the last one of who was killed.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from otel_metrics import line_files
from otel_metrics.line_files import BadLine
from otel_metrics.skills import MetricsAppender
from tests.torture.figures import Figures
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.verdict import LIFE, Verdict, life_of
from tests.torture.workers import start

__all__ = ["large_lines", "shared_skill"]

PROCESSES: Final = 8
LARGE_WRITERS: Final = 4
LARGE_BYTES: Final = 4 * 2**20
TORN_PART_MIN: Final = 0.01
"""Of the kills inside large lines: with fewer torn ones the row would prove nothing."""
_FILES: Final = ("s_performance.json", "s_outcomes.json", "s_fidelity.json")
_TEXTS: Final = ("reasoning", "patterns_detail", "exception_type")

Append = Callable[[Path, bytes], None]


def shared_skill(plan: Plan) -> Figures:
    """Let processes append to one skill's files, and kill one of them at a random moment."""
    appends = 10_000 if plan.thorough else 500
    figures = Figures(f"D7 {PROCESSES} processes, {appends:,} appends each to one skill's files")
    dice = plan.dice("skill files")
    with figures.timed(), plan.scratch() as folder:
        ledgers = [Ledger(number * LIFE) for number in range(PROCESSES)]
        chosen = dice.randrange(PROCESSES)  # which has more to do than it can: it is killed at work
        amounts = [appends * (100 if number == chosen else 1) for number in range(PROCESSES)]
        workers = [
            start(_appending(folder, amount), ledger)
            for amount, ledger in zip(amounts, ledgers, strict=True)
        ]
        victim = workers[chosen]
        victim.await_count(dice.randrange(appends // 2))
        victim.kill()
        ends = [worker.wait() for worker in workers if worker is not victim]
        figures.expect(not any(ends), f"processes ended with {ends}")
        done = [worker.ledger.count for worker in workers if worker is not victim]
        figures.expect(set(done) == {appends}, f"of {appends} appends each made {done}")
        bad: list[BadLine] = []
        lines = [line for name in _FILES for line in line_files.read_lines(folder / name, bad=bad)]
        figures.cycles = PROCESSES
        figures.torn = len(bad)
        figures.expect(len(bad) <= 1, f"{len(bad)} lines are no records: {bad[:3]}")
        records = [record for _, record in lines]
        figures.add(_judged(ledgers, Counter(int(each["execution_id"]) for each in records)))
        mixed = [each for each in records if _said(each) != _text(int(each["execution_id"]))]
        figures.expect(not mixed, f"records are not as they were sent: {mixed[:3]}")
    return figures


def large_lines(plan: Plan, append: Append = line_files.append) -> Figures:
    """Kill one of several writers of lines so long that a kill often hits the middle of one."""
    cycles = max(10, plan.cycles // 10)
    figures = Figures(f"D7 {LARGE_WRITERS} writers of {LARGE_BYTES >> 20} MiB lines, one killed")
    dice = plan.dice("large lines")
    with figures.timed():
        for number in range(cycles):
            with plan.scratch() as folder:
                _large(figures, folder / "lines.json", dice, append, f"{number}: ")
    enough = figures.torn >= cycles * TORN_PART_MIN or not plan.thorough
    figures.expect(enough, f"blind: {figures.torn} torn lines in {cycles} cycles")
    return figures


def _large(figures: Figures, path: Path, dice: random.Random, append: Append, where: str) -> None:
    ledgers = [Ledger(number * LIFE) for number in range(LARGE_WRITERS)]
    workers = [start(_writing(path, append), ledger) for ledger in ledgers]
    victim = workers[0]
    victim.await_count(1)
    time.sleep(dice.uniform(0, 0.01))
    victim.kill()
    ends = [worker.wait() for worker in workers[1:]]
    bad: list[BadLine] = []
    found = Counter(int(record["n"]) for record in _read(path, bad))
    figures.cycles += 1
    figures.torn += len(bad)
    figures.expect(not any(ends), f"{where}writers ended with {ends}")
    figures.expect(len(bad) <= 1, f"{where}{len(bad)} lines are no records")
    figures.add(_judged(ledgers, found), where)


def _read(path: Path, bad: list[BadLine]) -> Iterator[dict[str, Any]]:
    for _, record in line_files.read_lines(path, bad=bad):
        yield record


def _appending(folder: Path, appends: int) -> Callable[[Ledger], None]:
    def body(ledger: Ledger) -> None:
        appender = MetricsAppender(folder)
        for number in range(ledger.first, ledger.first + appends):
            ledger.submit(number + 1)
            ledger.acknowledge(number, 1, ok=_appended(appender, number))

    return body


def _appended(appender: MetricsAppender, number: int) -> bool:
    name, text = str(number), _text(number)
    if number % 3 == 0:
        return appender.append_performance_metric("s", name, 5.0, "a", exception_type=text)
    if number % 3 == 1:
        return appender.append_outcome_metric("s", name, 1, 1, True, 0.5, text, "a")
    return appender.append_fidelity_metric("s", name, 0.5, ["a"], ["b"], text, "a")


def _said(record: Mapping[str, Any]) -> object:
    """Return the text that a record was given."""
    return next(record[key] for key in _TEXTS if record.get(key) is not None)


def _text(number: int) -> str:
    """Return a text that only this record has, of another length than its neighbours'."""
    return f"{number}-" * (number % 70 + 1)


def _writing(path: Path, append: Append) -> Callable[[Ledger], None]:
    def body(ledger: Ledger) -> None:
        for number in range(ledger.first, ledger.first + 5):
            ledger.submit(number + 1)
            append(path, b'{"n": %d, "text": "%s"}' % (number, b"x" * LARGE_BYTES))
            ledger.acknowledge(number, 1, ok=True)

    return body


def _judged(ledgers: list[Ledger], found: Counter[int]) -> Verdict:
    """Compare what was read with what was sent and acknowledged."""
    verdict = Verdict(found=set(found))
    sent: set[int] = set()
    for ledger in ledgers:
        life = life_of(ledger)
        sent |= set(range(life.first, life.submitted))
        verdict.acknowledged += len(life.acknowledged)
        verdict.lost += sorted(life.acknowledged - verdict.found)
    verdict.phantoms += [f"never sent: {number}" for number in sorted(verdict.found - sent)]
    verdict.phantoms += [f"read {times} times: {n}" for n, times in found.items() if times > 1]
    return verdict

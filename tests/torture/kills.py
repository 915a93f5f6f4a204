"""Processes that are killed at any moment: small records, and inside large writes.

Faults A1 and A2: what was acknowledged is read once, in every mode, and half a line is no record.
"""

import random
import time
from pathlib import Path
from typing import Final, Literal

from otel_exporter_ndjson.exporter import Arguments
from tests.torture.figures import Figures
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.records import LARGE_BYTES
from tests.torture.verdict import LIFE, Life, judge, life_of
from tests.torture.workers import Load, record, start

__all__ = ["SIGNALS", "SYNCS", "Signal", "killed_in_large_writes", "killed_lives", "small_kills"]

SYNCS: Final = ("interval", "never", "always")
SMALL_WAIT_S: Final = 0.012
LARGE_WAIT_S: Final = 0.03
LIVES: Final = 40
"""How many lives share an archive before it is judged and removed."""
LARGE_LIVES: Final = 10
BLIND_FROM: Final = 200
"""In so many cycles chance cannot hide every torn tail."""
TORN_PART_MIN: Final = 0.01
"""Fewer torn tails among large writes, and the row would not see a fault if there were one."""

Signal = Literal["metrics", "events"]
SIGNALS: Final[tuple[Signal, ...]] = ("events", "metrics")


def small_kills(plan: Plan, signal: Signal, sync: str, cycles: int) -> Figures:
    """Kill processes that record small records."""
    load = Load(
        signal=signal,
        batch=3 if signal == "metrics" else 1,
        arguments=Arguments(sync=sync, sync_interval="1ms", rotate_bytes="64KiB"),
    )
    return killed_lives(plan, f"A1 kill, {signal}, {sync}", load, cycles, SMALL_WAIT_S, LIVES)


def killed_in_large_writes(plan: Plan, signal: Signal, sync: str, cycles: int) -> Figures:
    """Kill processes inside writes of several MB; few torn tails mean that the row is blind."""
    load = Load(
        signal=signal,
        batch=6,
        bytes_max=LARGE_BYTES,
        arguments=Arguments(sync=sync, sync_interval="1s", rotate_bytes="16MiB"),
    )
    name = f"A2 kill in large writes, {signal}, {sync}"
    figures = killed_lives(plan, name, load, cycles, LARGE_WAIT_S, LARGE_LIVES)
    figures.expect(
        cycles < BLIND_FROM or figures.torn >= cycles * TORN_PART_MIN,
        f"blind: {figures.torn} torn tails in {cycles} cycles",
    )
    return figures


def killed_lives(
    plan: Plan, name: str, load: Load, cycles: int, wait_s: float, lives_max: int
) -> Figures:
    """Kill processes one after the other; a few share an archive, which is then judged."""
    dice = plan.dice(name)
    figures = Figures(name)
    with figures.timed():
        while figures.cycles < cycles:
            with plan.scratch() as folder:
                count = min(lives_max, cycles - figures.cycles)
                lives = [_life(folder, load, n, dice, wait_s) for n in range(count)]
                figures.cycles += count
                figures.add(judge(folder, lives), f"seed {plan.seed}: ")
    return figures


def _life(folder: Path, load: Load, number: int, dice: random.Random, wait_s: float) -> Life:
    ledger = Ledger(number * LIFE)
    worker = start(record(folder, load), ledger)
    if dice.random() < 0.75:  # the others are killed while they start, and recover what is there
        worker.await_count(1)
    time.sleep(dice.uniform(0, wait_s))
    worker.kill()
    return life_of(ledger)

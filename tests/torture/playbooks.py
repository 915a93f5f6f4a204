"""Playbooks under kills and power cuts between intent and result: nothing is done twice (M3).

Each life first recovers what the last one left, then asks for runs, one after the other, with a
real archive for its audit. Most are killed soon after an intent is on the disk, the others at any
moment from their start. The action is a program that writes to a file for which key it was run; no
power is cut there.
"""

import logging
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_exporter_ndjson import read
from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.values import decode_attributes
from otel_metrics.catalog.model import Parameter, Playbook
from otel_metrics.remediation import audit, chains
from otel_metrics.remediation.audit import Entry
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.model import (
    Binding,
    Configuration,
    Limits,
    Request,
    Rule,
    StepResult,
    Value,
    Verification,
)
from otel_metrics.remediation.runs import Run
from otel_metrics.service.samples import Resource
from tests.torture.figures import Figures
from tests.torture.mounts import Kind, disk
from tests.torture.plan import Plan

__all__ = ["cut_playbooks", "killed_playbooks"]

KILL_WAIT_S: Final = 0.012
"""A process is killed within this time of an intent; so long take the action and its result."""
START_WAIT_S: Final = 0.3
"""Or, if it is one of the others, within this time of its start."""
INTENDING_PART: Final = 0.9
"""The part of the processes that is killed after an intent."""
INTENTS_MAX: Final = 3
"""After which of its intents."""
STOP_WAIT_S: Final = 30.0
"""How long it may take until a process stops."""
LIVES: Final = 25
"""How many lives share a ledger before it is judged."""
SERVICE: Final = "torture"
KEY: Final = SealKey(bytes(32))
PLAYBOOK: Final = Playbook(
    id="torture",
    brief="",
    risk="low",
    parameters=(Parameter(name="key", type="string", brief=""),),
)
TARGET: Final = Resource("host", "victim")
MANY: Final = 10**9


class Sink:
    """The audit of an archive, as a service gives it to its engine; tells of intents, too."""

    def __init__(self, folder: Path, writing: int | None) -> None:
        self._log = AuditLog(Settings(path=str(folder / "archive")), key=KEY)
        self._writing = writing

    def say(self, event: str, attributes: Entry) -> None:
        self._log.say(event, attributes, service=SERVICE)
        if event == audit.INTENT and self._writing is not None:
            os.write(self._writing, b".")


@dataclass(frozen=True)
class Place:
    """Where processes act: the folder of ledger and audit, and the file of what was done."""

    folder: Path
    done: Path
    planted: bool = False


@dataclass(frozen=True)
class Act:
    """A program that writes its key, in one write.

    Attributes:
        is_last: whether this process is killed by it.
    """

    done: Path
    is_last: bool = False

    def plan(self, parameters: Mapping[str, Value]) -> Sequence[str]:
        return ["/bin/sh", "-c", 'echo "$1" >> "$0"', str(self.done), str(parameters["key"])]

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        del stopped, run_id
        ended = subprocess.run(self.plan(parameters), check=False)
        if self.is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        verdict = "failed" if ended.returncode else "succeeded"
        return StepResult(verdict=verdict, detail="", exit_code=ended.returncode)  # type: ignore[arg-type]  # one of two


def killed_playbooks(plan: Plan, cycles: int, *, planted: bool = False) -> Figures:
    """Kill processes while they act; `planted` are actions that end their process and may be done
    again."""
    figures = Figures("M3 kill between intent and result")
    dice = plan.dice(figures.fault)
    unknown = 0
    with figures.timed():
        while figures.cycles < cycles:
            lives = min(LIVES, cycles - figures.cycles)
            with plan.scratch() as folder:
                place = Place(folder, folder / "done", planted=planted)
                for number in range(lives):
                    _life(place, number, dice)
                figures.cycles += lives
                unknown += _judge(figures, place, f"seed {plan.seed}: ")
    figures.remark = f"{unknown} ends unknown"
    return figures


def cut_playbooks(plan: Plan, kind: Kind, cuts: int) -> Figures:
    """Cut the power under ledger and audit while processes act."""
    figures = Figures(f"M3 power cut, {kind}, playbooks")
    dice = plan.dice(figures.fault)
    with figures.timed(), plan.scratch() as parent, disk(parent, kind) as made:
        place = Place(made.folder / "acting", parent / "done")
        place.folder.mkdir()
        for number in range(cuts):
            _life(place, number, dice, made.cut)
            made.again()
            figures.cycles += 1
        unknown = _judge(figures, place, f"seed {plan.seed}: ")
        figures.remark = f"{unknown} ends unknown"
    return figures


def _life(
    place: Place, number: int, dice: random.Random, cut: Callable[[], None] | None = None
) -> None:
    """Let a process act until it is killed, or until its power is cut.

    It stops as the power goes: what a disk answers afterwards, a machine without power never hears.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            logging.disable()  # a disk that is gone is no news here
            _act(_engine(place, writing), number)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as intents:
        wait_s = START_WAIT_S
        if dice.random() < INTENDING_PART:
            wait_s = KILL_WAIT_S
            for _ in range(dice.randint(1, INTENTS_MAX)):
                intents.read(1)
        time.sleep(dice.uniform(0, wait_s))
        if cut is not None:
            _stop(child)
            cut()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _stop(child: int) -> None:
    """Stop a process; one signal now and then comes to nothing while it starts a program."""
    deadline = time.monotonic() + STOP_WAIT_S
    while time.monotonic() < deadline:
        os.kill(child, signal.SIGSTOP)
        for _ in range(100):
            if os.waitpid(child, os.WUNTRACED | os.WNOHANG)[0]:
                return
            time.sleep(0.001)


def _act(engine: Engine, number: int) -> None:
    engine.recover()
    for turn in range(MANY):
        engine.handle(_request(f"{number}-{turn}"))


def _request(key: str) -> Request:
    return Request(
        playbook=PLAYBOOK.id,
        parameters={"key": key},
        target=TARGET,
        actor="recommendation",
        reason="torture",
        key=key,
    )


def _engine(place: Place, writing: int | None = None) -> Engine:
    folder = place.folder
    binding = Binding(
        playbook=PLAYBOOK.id,
        enabled=True,
        risk="low",
        steps=(Act(place.done, is_last=place.planted and writing is not None),),
        cooldown_s=0.0,
        runs_per_hour=MANY,
        idempotent=place.planted,
        verification=Verification(metric=None, band="good", within_s=1.0),
    )
    configuration = Configuration(
        path="",
        sha256="",
        enabled=True,
        stop_file=str(folder / "stop"),
        limits=Limits(
            runs_per_hour=MANY,
            target_runs_per_hour=MANY,
            targets_per_hour=MANY,
            failures_in_a_row=MANY,
        ),
        policy=(Rule(decision="run", tier=1),),
        bindings={PLAYBOOK.id: binding},
    )
    return Engine(
        lambda: configuration,
        {PLAYBOOK.id: PLAYBOOK},
        ledger_path=folder / "ledger.db",
        audit=Sink(folder, writing),
        entries=lambda: _entries(folder),
        known_targets=lambda: [TARGET],
        emit=lambda event, attributes: None,
    )


def _entries(folder: Path) -> Iterator[Entry]:
    if not (folder / "archive").exists():
        return
    for record in read(folder / "archive", signal="audit", service=SERVICE):
        yield decode_attributes(record.data.get("attributes")) or {}  # type: ignore[misc]  # as it was said


def _judge(figures: Figures, place: Place, where: str) -> int:
    """Let the next start recover; compare ledger, audit, and what was done."""
    engine = _engine(place)
    engine.recover()
    for run in _history(engine):  # what was asked for is asked for again, and something new
        engine.handle(run.request)
    last = engine.handle(_request("last"))
    figures.expect(last.result == "succeeded", f"{where}nothing runs afterwards: {last.detail}")
    runs = _history(engine)
    entries = list(_entries(place.folder))
    done = Counter(place.done.read_text().split() if place.done.exists() else [])
    figures.acknowledged += sum(run.result == "succeeded" for run in runs)
    wrong = [f"{key}: done {count} times" for key, count in done.items() if count > 1]
    wrong += [f"{run.id}: {fault}" for run in runs if (fault := _fault(run, done))]
    wrong += chains.faults(entries)
    wrong += _told(runs, entries)
    figures.violations += [f"{where}{each}" for each in wrong]
    return sum(run.result == "unknown" for run in runs)


def _fault(run: Run, times: Mapping[str, int]) -> str | None:
    """Return what is wrong with what the ledger says of a run."""
    done = times[str(run.request.parameters["key"])]
    if run.state != "ended":
        return "has no end"
    if run.result == "succeeded" and done != 1:
        return f"succeeded, and was done {done} times"
    if run.result == "failed" and done:
        return f"was done, and failed: {run.detail}"
    return None


def _told(runs: Sequence[Run], entries: Sequence[Entry]) -> Iterator[str]:
    """Return where the audit does not say of a run, once, what the ledger says."""
    said: dict[str, list[str]] = {}
    for entry in entries:
        said.setdefault(str(entry["remediation.run.id"]), []).append(str(entry["result"]))
    for run in runs:
        wanted = ["admitted", audit.INTENDED, run.result]
        if said.pop(run.id, None) != wanted:
            yield f"{run.id}: the audit does not say {wanted}"
    yield from (f"{run_id}: is in the audit only" for run_id in said)


def _history(engine: Engine) -> list[Run]:
    found: list[Run] = []
    while more := engine.history(before=found[-1].number if found else None, limit=1_000):
        found += more
    return found

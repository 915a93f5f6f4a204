"""Engines for tests: an audit in a file, a clock that is set, steps that start little programs."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from otel_metrics.catalog.model import Parameter, Playbook
from otel_metrics.remediation import chains
from otel_metrics.remediation.audit import Entry
from otel_metrics.remediation.clock import SECOND_US, Clock
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.model import (
    Binding,
    Configuration,
    Limits,
    Notice,
    Request,
    Rule,
    Step,
    StepResult,
    Value,
    Verification,
)
from otel_metrics.service.samples import BandName, Resource, Sample

HOST = Resource("host", "web-1")
HOSTS = [HOST, *(Resource("host", f"web-{number}") for number in range(2, 50))]
CPU = "infra.cpu_utilization"
PLAYBOOKS = {
    "shift-load": Playbook(
        id="shift-load",
        brief="",
        risk="medium",
        parameters=(
            Parameter(name="share", type="integer", brief="", default=10, minimum=1, maximum=50),
        ),
    ),
    "scale-workers": Playbook(id="scale-workers", brief="", risk="low"),
    "scale-nodes": Playbook(id="scale-nodes", brief="", risk="high"),
    "lock-planner": Playbook(id="lock-planner", brief="", risk="critical"),
}


class FileAudit:
    """An audit that is one file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fails = False

    def say(self, event: str, attributes: Entry) -> None:
        if self.fails:
            raise OSError("no room on the disk")
        with self.path.open("a") as file:
            file.write(json.dumps({"event": event, "attributes": dict(attributes)}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        """Return every line that is whole."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def entries(self) -> Iterator[Entry]:
        """Return the fields of every entry."""
        return iter([line["attributes"] for line in self.lines()])

    def told(self) -> list[tuple[str, str]]:
        """Return each entry's event, without its first word, and its result."""
        return [
            (line["event"].partition(".")[2], line["attributes"]["result"]) for line in self.lines()
        ]


@dataclass
class SetClock:
    """A clock that stands until it is moved; the wall clock may be set by itself."""

    wall_us: int = 1_800_000_000 * SECOND_US
    boot_us: int = 500 * SECOND_US
    boot: str = "boot-1"

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.wall_us += int(seconds * SECOND_US)
        self.boot_us += int(seconds * SECOND_US)

    def clock(self) -> Clock:
        """Return what an engine takes."""
        return Clock(lambda: self.wall_us, lambda: (self.boot, self.boot_us))


@dataclass(frozen=True)
class Program:
    """A step that starts a program, which has done its work when its line is in the file."""

    path: Path
    word: str = "done"
    code: int = 0
    then: Callable[[], None] = lambda: None

    def plan(self, parameters: Mapping[str, Value]) -> Sequence[str]:
        given = [f"{name}={value}" for name, value in sorted(parameters.items())]
        script = f'echo "$*" >> "$0"; exit {self.code}'
        return ["/bin/sh", "-c", script, str(self.path), self.word, *given]

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        with self.path.with_name("run-ids").open("a") as file:
            file.write(f"{run_id}\n")
        ended = subprocess.run(self.plan(parameters), check=False)
        self.then()
        verdict = "failed" if ended.returncode else "succeeded"
        return StepResult(verdict=verdict, detail=self.word, exit_code=ended.returncode)  # type: ignore[arg-type]  # one of two


def binding(playbook: str, *steps: Step, **changes: Any) -> Binding:
    """Return a binding without a cooldown, which may run often."""
    of = Binding(
        playbook=playbook,
        enabled=True,
        risk=PLAYBOOKS[playbook].risk,
        steps=steps,
        cooldown_s=0.0,
        runs_per_hour=1_000,
        verification=Verification(metric=None, band="good", within_s=600.0),
    )
    return replace(of, **changes)


@dataclass
class Desk:
    """An engine, and all that it is given; change what you like before `engine` is first used."""

    folder: Path
    bindings: list[Binding] = field(default_factory=list)
    policy: tuple[Rule, ...] = (Rule(decision="run", tier=1), Rule(decision="run", tier=2))
    limits: Limits = field(
        default_factory=lambda: Limits(
            runs_per_hour=1_000, target_runs_per_hour=1_000, targets_per_hour=1_000
        )
    )
    notice: Notice | None = None
    file: Callable[[], Configuration] | None = None
    enabled: bool = True
    audited: bool = True
    time: SetClock = field(default_factory=SetClock)
    samples: dict[tuple[str, Resource], Sample] = field(default_factory=dict)
    events: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.audit = FileAudit(self.folder / "audit.jsonl")
        self.done = self.folder / "done"
        self.stop_file = self.folder / "stop"
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine, made once."""
        if self._engine is None:
            self._engine = self.another()
        return self._engine

    def another(self, **changes: Any) -> Engine:
        """Return one more engine on the same ledger, as of another process."""
        given: dict[str, Any] = {
            "ledger_path": self.folder / "ledger.db",
            "audit": self.audit if self.audited else None,
            "entries": self.audit.entries,
            "latest": lambda metric, resource: self.samples.get((metric, resource)),
            "known_targets": lambda: HOSTS,
            "emit": lambda event, attributes: self.events.append((event, attributes)),
            "clock": self.time.clock(),
        }
        return Engine(self.configuration, PLAYBOOKS, **{**given, **changes})

    def configuration(self) -> Configuration:
        """Return what the operator's file says now: `file`, or what is set here."""
        if self.file is not None:
            return self.file()
        return Configuration(
            path="playbooks.yaml",
            sha256="c0ffee",
            enabled=self.enabled,
            stop_file=str(self.stop_file),
            limits=self.limits,
            policy=self.policy,
            bindings={each.playbook: each for each in self.bindings},
            notice=self.notice,
        )

    def program(self, word: str = "done", code: int = 0, **more: Any) -> Program:
        """Return a step that writes a word to the file of what was done."""
        return Program(self.done, word, code, **more)

    def words(self) -> list[str]:
        """Return what was done."""
        return self.done.read_text().splitlines() if self.done.exists() else []

    def sample(self, band: BandName, *, after_s: float = 1.0) -> None:
        """Have CPU of the host observed in a band, so long from now."""
        at = self.time.wall_us / SECOND_US + after_s
        self.samples[CPU, HOST] = Sample(
            metric=CPU, resource=HOST, value=1.0, observed_at=at, band=band
        )

    def faults(self) -> list[str]:
        """Return what is wrong with the audit."""
        return list(chains.faults(self.audit.entries()))


def request(playbook: str = "shift-load", key: str = "key-1", **changes: Any) -> Request:
    """Return a recommendation."""
    of = Request(
        playbook=playbook,
        parameters={},
        target=HOST,
        actor="recommendation",
        reason="three samples in critical",
        key=key,
        metric=CPU,
        band="critical",
    )
    return replace(of, **changes)

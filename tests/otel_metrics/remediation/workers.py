"""What processes of tests run: an engine on the ledger of a folder, on the machine's clock.

python -m tests.otel_metrics.remediation.workers FOLDER VERB [ARGUMENT ...]
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otel_metrics.remediation.audit import Entry
from otel_metrics.remediation.clock import Clock
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.model import Limits, Outcome
from tests.otel_metrics.remediation.desks import HOSTS, Desk, binding, request

__all__ = ["SELF", "WITH_TESTS", "engine_of", "kill_at", "main"]

SELF: Final = "tests.otel_metrics.remediation.workers"
WITH_TESTS: Final = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
"""The variables of a program that imports from the tests."""


def engine_of(folder: Path, *, idempotent: bool = False) -> tuple[Desk, Engine]:
    """Return an engine with few limits."""
    desk = Desk(folder, limits=Limits(runs_per_hour=30, target_runs_per_hour=4, targets_per_hour=9))
    desk.bindings.append(
        binding("shift-load", desk.program(), runs_per_hour=50, idempotent=idempotent)
    )
    desk.bindings.append(binding("scale-workers", desk.program(), runs_per_hour=6))
    return desk, desk.another(clock=Clock(), latest=None)


def storm(folder: Path, number: int, count: int) -> None:
    """Ask for runs again and again, for many targets, as soon as all processes are there."""
    _, engine = engine_of(folder)
    (folder / f"ready-{number}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
    for turn in range(count):
        playbook = ("shift-load", "scale-workers")[turn % 2]
        target = HOSTS[turn % len(HOSTS)]
        engine.handle(request(playbook, f"{number}-{turn}", target=target, metric=None))


def same(folder: Path, number: int, count: int) -> None:
    """Ask for the same keys as all others do."""
    _, engine = engine_of(folder)
    (folder / f"ready-{number}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
    for turn in range(count):
        outcome = engine.handle(request(key=f"key-{turn}", target=HOSTS[turn], metric=None))
        print(outcome.result, flush=True)


def die(folder: Path, where: str, key: str, idempotent: bool = False) -> Outcome:
    """Ask for one run, and be killed at a point of it."""
    desk, engine = engine_of(folder, idempotent=idempotent)
    kill_at(where, desk)
    return engine.handle(request(key=key, metric=None))


def kill_at(where: str, desk: Desk) -> None:
    """Have this process killed at a point: before or after the intent's line, in a step, after it,
    or after the result's line, each before the ledger takes note of it."""

    def killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def around(event: str, say: Callable[..., None], *, before: bool) -> Callable[..., None]:
        def said(name: str, attributes: Entry) -> None:
            if name == event and before:
                killed()
            say(name, attributes)
            if name == event:
                killed()

        return said

    moments = {
        "before intent": ("remediation.intent", True),
        "after intent": ("remediation.intent", False),
        "before result": ("remediation.result", True),
        "after result": ("remediation.result", False),
    }
    if where in moments:
        event, before = moments[where]
        desk.audit.say = around(event, desk.audit.say, before=before)  # type: ignore[method-assign]  # so that it dies there
    elif where == "in step":
        desk.bindings[0] = binding(
            "shift-load",
            desk.program(then=killed),
            runs_per_hour=50,
            idempotent=desk.bindings[0].idempotent,
        )


def main(arguments: list[str]) -> None:
    """Run a verb."""
    folder, verb, *rest = arguments
    if verb == "die":
        where, key, *idempotent = rest
        print(die(Path(folder), where, key, bool(idempotent)).result)
    else:
        {"storm": storm, "same": same}[verb](Path(folder), int(rest[0]), int(rest[1]))


if __name__ == "__main__":
    main(sys.argv[1:])

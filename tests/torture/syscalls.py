"""A kill before each system call of writing, sealing, recovering and removing (faults A3 and A4).

A process is killed as it enters the n-th call of a kind, for n = 1, 2, ... until it gets to its end
unharmed; so there is no moment between two calls at which it was not killed once. What a recovery
leaves that was killed so must be, after the next one, byte for byte what an undisturbed one leaves.
"""

from collections.abc import Callable
from typing import Final

from otel_exporter_ndjson.exporter import Arguments
from tests.torture.dead import contents, copied, leave_dead
from tests.torture.figures import Figures
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan
from tests.torture.tracing import injected, waiting
from tests.torture.verdict import judge, life_of, recover
from tests.torture.workers import Load, record

__all__ = ["SCENARIOS", "killed_at_calls", "killed_recoveries"]

CHANGING: Final = (
    *("write", "ftruncate", "fallocate", "fdatasync", "fsync", "openat", "mkdir", "mkdirat"),
    *("link", "linkat", "unlink", "unlinkat", "rename", "renameat", "fchmod"),
)
"""The calls that change something; `openat` also makes files."""
LOOKING: Final = (
    *("flock", "close", "pread64", "newfstatat", "fstat", "lstat", "stat", "getdents64"),
    "fstatfs",
)
CALLS_MAX: Final = 500
"""No scenario makes more calls of one kind; one that does never ends."""
SAMPLE: Final = 10
"""Out of so many calls a quick run takes one."""


def _load(arguments: Arguments, *, metrics: bool = False) -> Load:
    return Load(
        signal="metrics" if metrics else "events",
        exports=24,
        flush_every=5,
        bytes_max=1000,
        arguments={"sync_interval": "1ms", "rotate_bytes": "4KiB", **arguments},
    )


SCENARIOS: Final = {
    "events": _load({}),
    "metrics": _load({}, metrics=True),
    "events, always": _load({"sync": "always"}),
    "events, never": _load({"sync": "never"}),
    "events, retention": _load({"retention_bytes": "4KiB"}),
}
"""Each way of writing, in few records that come through everything."""


def killed_at_calls(plan: Plan, what: str) -> Figures:
    """Kill a process that writes, rotates, seals, compresses and removes, at each of its calls."""
    figures = Figures(f"A3 kill at each call, {what}")
    load = SCENARIOS[what]

    def killed(call: str, when: int) -> bool:
        with plan.scratch() as scratch:
            folder, ledger = scratch / "archive", Ledger()
            status = _end(record(folder, load), ledger, call, when)
            figures.add(judge(folder, [life_of(ledger)]), f"{call} {when}: ")
            figures.expect(status in (0, -9), f"{call} {when}: ended with {status}")
            return status != 0

    with figures.timed():
        figures.cycles = _at_each_call(plan, figures.fault, killed)
    return figures


def killed_recoveries(plan: Plan) -> Figures:
    """Kill a recovery at each of its calls; the next one must end with the same bytes."""
    figures = Figures("A4 kill at each call of a recovery")
    with figures.timed(), plan.scratch() as scratch:
        dead = scratch / "dead"
        lives = leave_dead(dead)
        expected = contents(copied(dead, scratch / "undisturbed"), recovered=True)

        def killed(call: str, when: int) -> bool:
            folder = copied(dead, scratch / "killed")

            def body(_: Ledger) -> None:
                recover(folder)

            status = _end(body, Ledger(), call, when)
            figures.add(judge(folder, lives), f"{call} {when}: ")
            same = contents(folder) == expected
            figures.expect(same, f"{call} {when}: not the bytes of an undisturbed recovery")
            return status != 0

        figures.cycles = _at_each_call(plan, figures.fault, killed)
    return figures


def _at_each_call(plan: Plan, name: str, killed: Callable[[str, int], bool]) -> int:
    """Kill at the n-th call of each kind until none is left; return how often one was."""
    dice = plan.dice(name)
    done = 0
    calls = CHANGING + LOOKING if plan.thorough else dice.sample(CHANGING, len(CHANGING) // 2)
    for call in calls:
        first, step = (1, 1) if plan.thorough else (dice.randint(1, SAMPLE), SAMPLE)
        for when in range(first, CALLS_MAX, step):
            if not killed(call, when):
                break
            done += 1
        else:
            raise AssertionError(f"{name}: more than {CALLS_MAX} {call} calls")
    return done


def _end(body: Callable[[Ledger], None], ledger: Ledger, call: str, when: int) -> int:
    """Run a process that is killed at a call; return how it ended."""
    worker = waiting(body, ledger)
    try:
        with injected(worker, f"?{call}:signal=KILL:when={when}"):
            ledger.go()
            return worker.wait()
    finally:
        worker.kill()

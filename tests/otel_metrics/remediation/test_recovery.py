"""Whoever dies, nothing is done twice, and the audit's chain has no hole."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from otel_metrics.remediation.audit import Entry
from otel_metrics.remediation.engine import Engine
from otel_metrics.service.samples import Resource
from otel_metrics.testing import capture
from tests.otel_metrics.remediation.desks import Desk, binding, request
from tests.otel_metrics.remediation.workers import SELF, WITH_TESTS, engine_of


def died(desk: Desk, where: str, *more: str) -> Engine:
    """Have a process killed at a point of its run, and return an engine that starts after it."""
    command = [sys.executable, "-m", SELF, str(desk.folder), "die", where, "key-1", *more]
    ended = subprocess.run(command, timeout=100, check=False, env=WITH_TESTS)
    assert ended.returncode == -signal.SIGKILL
    return engine_of(desk.folder, idempotent=bool(more))[1]


AFTER = {
    "before intent": (
        [],
        ("failed", "the process ended before the first step"),
        ["admitted", "intended", "failed"],
    ),
    "after intent": (
        [],
        ("failed", "the process ended before the first step"),
        ["admitted", "intended", "failed"],
    ),
    "in step": (
        ["done share=10"],
        ("unknown", "the process ended between intent and result"),
        ["admitted", "intended", "unknown"],
    ),
    "before result": (
        ["done share=10"],
        ("succeeded", "step 1 of 1: done"),
        ["admitted", "intended", "succeeded"],
    ),
    "after result": (
        ["done share=10"],
        ("succeeded", "step 1 of 1: done"),
        ["admitted", "intended", "succeeded"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", AFTER)
def test_a_process_that_died_in_a_run_leaves_it_done_at_most_once(desk: Desk, where: str) -> None:
    """M3: what may have been done is unknown, what was not begun failed, and neither is done again;
    each entry of the audit is there once."""
    engine = died(desk, where)
    words, ended, told = AFTER[where]
    engine.recover()
    again = engine.handle(request(metric=None))
    run = engine.history()[-1]

    assert (run.result, run.detail) == ended
    assert (again.result, desk.words()) == ("repeated", words)
    assert [result for _, result in desk.audit.told()] == told
    assert desk.faults() == []


@pytest.mark.slow
def test_a_run_whose_end_is_unknown_is_counted(desk: Desk) -> None:
    """Once, whoever finds its process dead: a person has to look what was done."""
    engine = died(desk, "in step")
    with capture() as seen:
        engine.handle(request(key="key-2", metric=None, target=Resource("host", "web-2")))
        engine.recover()

    labels = {"playbook.id": "shift-load", "remediation.result": "unknown"}
    assert seen.value("remediation.actions", labels) == 1


@pytest.mark.slow
def test_what_is_idempotent_is_done_once_more(desk: Desk) -> None:
    """Once, however often it is looked, under the id of the run that it is again."""
    engine = died(desk, "in step", "idempotent")
    for _ in range(3):
        engine.recover()

    assert desk.words() == ["done share=10"] * 2
    assert [run.result for run in engine.history()] == ["succeeded", "unknown"]
    assert engine.history()[0].rerun_of == engine.history()[1].id
    ids = (desk.folder / "run-ids").read_text().split()
    assert ids == [engine.history()[1].id] * 2
    assert [result for _, result in desk.audit.told()] == [
        *("admitted", "intended", "unknown"),
        *("admitted", "intended", "succeeded"),
    ]
    assert desk.faults() == []


@pytest.mark.slow
def test_what_is_idempotent_is_done_once_more_whoever_found_its_process_dead(desk: Desk) -> None:
    """Also where a request came before the look after the dead, and no matter who knows its target
    by now."""
    engine = died(desk, "in step", "idempotent")
    other = request(key="key-2", metric=None, target=Resource("host", "web-2"))
    outcome = engine.handle(other)
    for _ in range(2):
        engine.recover()

    assert (outcome.result, desk.words()) == ("succeeded", ["done share=10"] * 3)
    assert engine.history()[0].rerun_of == engine.history()[2].id


@pytest.mark.slow
def test_a_run_again_that_dies_too_is_the_last(desk: Desk) -> None:
    """What ends the process each time is not begun for ever."""
    died(desk, "in step", "idempotent")
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.otel_metrics.remediation.workers import engine_of, kill_at\n"
        "desk, engine = engine_of(Path(sys.argv[1]), idempotent=True)\n"
        "kill_at('in step', desk)\n"
        "engine.recover()\n"
    )
    command = [sys.executable, "-c", code, str(desk.folder)]
    ends = [subprocess.run(command, timeout=100, check=False, env=WITH_TESTS) for _ in range(2)]

    assert [each.returncode for each in ends] == [-signal.SIGKILL, 0]
    assert desk.words() == ["done share=10"] * 2


@pytest.mark.slow
def test_the_run_of_a_dead_process_blocks_nobody(desk: Desk) -> None:
    """The next request for playbook and target is held by its limits alone."""
    engine = died(desk, "in step")

    assert engine.handle(request(key="key-2", metric=None)).result == "succeeded"


def test_the_run_of_a_living_process_is_left_alone(desk: Desk) -> None:
    """Another engine that starts meanwhile neither ends it nor begins another."""
    seen = []

    def meanwhile() -> None:
        other = desk.another()
        other.recover()
        seen.append((other.history()[0].state, other.handle(request(key="key-2")).result))

    desk.bindings[0] = binding("shift-load", desk.program(then=meanwhile))

    assert desk.engine.handle(request()).result == "succeeded"
    assert seen == [("begun", "limited")]


@pytest.mark.parametrize("loss", ["removed", "damaged"])
def test_a_ledger_that_is_lost_takes_in_its_audit(desk: Desk, loss: str) -> None:
    """What was acted on is not acted on again, limits hold, and the chain goes on."""
    first = desk.engine.handle(request(metric=None))
    desk.engine.stop(time.monotonic() + 30)
    if loss == "removed":
        for path in desk.folder.glob("ledger.db*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        (desk.folder / "ledger.db").write_bytes(b"damaged" * 4096)
    desk.bindings[0] = binding("shift-load", desk.program(), cooldown_s=600.0)
    engine = desk.another()
    again = engine.handle(request(metric=None))
    if again.result == "refused":  # damage is found by the first who looks, and moved aside
        again = engine.handle(request(metric=None))
    held = engine.handle(request(key="key-2", metric=None))
    desk.time.move(601)
    later = engine.handle(request(key="key-3", metric=None))

    assert (again.result, again.run_id) == ("repeated", first.run_id)
    assert (held.result, later.result) == ("limited", "succeeded")
    assert desk.words() == ["done share=10"] * 2
    assert desk.faults() == []


@pytest.mark.slow
def test_a_ledger_that_is_lost_with_its_process_leaves_its_run_unknown(desk: Desk) -> None:
    """The audit knows of an intent without a result: it is told, and nothing is done again."""
    died(desk, "in step")
    for path in desk.folder.glob("ledger.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    engine = engine_of(desk.folder)[1]
    engine.recover()
    again = engine.handle(request(metric=None))

    assert (again.result, desk.words()) == ("repeated", ["done share=10"])
    assert [result for _, result in desk.audit.told()] == ["admitted", "intended", "unknown"]
    assert engine.history()[-1].result == "unknown"
    assert desk.faults() == []


def test_a_forked_child_does_not_read_the_audit_again(desk: Desk) -> None:
    """Its parent has seen that the ledger is no old copy; an audit of years is long."""
    reads = []

    def entries() -> Iterator[Entry]:
        reads.append(1)
        return desk.audit.entries()

    engine = desk.another(entries=entries)
    engine.recover()
    before = len(reads)
    engine.after_fork()
    engine.recover()

    assert (before, len(reads)) == (1, 1)


def test_an_audit_that_cannot_be_read_lets_nothing_run(desk: Desk) -> None:
    """A new ledger may not act before it knows what was done."""

    def broken() -> None:
        raise OSError("I/O error")

    outcome = desk.another(entries=broken).handle(request())

    assert (outcome.result, outcome.detail) == ("refused", "the audit could not be read: I/O error")
    assert desk.words() == []

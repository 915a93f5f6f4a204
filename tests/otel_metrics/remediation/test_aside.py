"""What takes its time holds nothing else up: steps and notices are not the engine's thread's."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from otel_metrics.rejections import read_rejected
from otel_metrics.remediation.engine import NOTICES_WAITING_MAX, RUNS_MAX
from otel_metrics.remediation.model import Notice, StepResult, Value
from tests.otel_metrics.remediation.desks import HOSTS, Desk, binding, request

WAIT_S = 60.0


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something; fail where it takes too long."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass
class Slow:
    """A step that is over once it is let go, or stopped."""

    go: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, parameters: Mapping[str, Value]) -> Sequence[str]:
        return ["slow"]

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        with self.lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        until(lambda: self.go.is_set() or stopped())
        with self.lock:
            self.at_once -= 1
        if stopped():
            return StepResult(verdict="stopped", detail="stopped")
        return StepResult(verdict="succeeded", detail="slow")


@pytest.fixture
def slow(desk: Desk) -> Iterator[Slow]:
    """Shift-load bound to what takes its time; scale-workers and scale-nodes are quick."""
    step = Slow()
    desk.bindings[:] = [
        binding("shift-load", step),
        binding("scale-workers", desk.program("scaled")),
        binding("scale-nodes", desk.program("added")),
    ]
    yield step
    step.go.set()
    desk.engine.stop(time.monotonic() + WAIT_S)


def ask_slow(desk: Desk, count: int) -> None:
    """Submit requests for what takes its time, each for another target."""
    for number, host in enumerate(HOSTS[:count]):
        desk.engine.submit(request(key=f"slow-{number}", target=host))


def states(desk: Desk) -> list[str | None]:
    """Return what became of each run, in the order of admission."""
    return [run.result or run.state for run in reversed(desk.engine.history())]


@pytest.mark.slow
def test_a_step_that_takes_its_time_holds_no_other_run_up(desk: Desk, slow: Slow) -> None:
    """Neither what is submitted after it, nor what is approved, nor what is to be verified."""
    desk.engine.start()
    ask_slow(desk, 1)
    until(lambda: states(desk) == ["begun"])
    desk.engine.submit(request("scale-workers", "quick", target=HOSTS[1], metric=None))
    asked = desk.engine.handle(request("scale-nodes", "asked", target=HOSTS[2]))
    assert asked.approval_id is not None
    desk.engine.approvals.decide(asked.approval_id, "approve", actor="ann", reason="load")
    until(lambda: len(desk.words()) == 2)
    still = states(desk)[0]

    assert sorted(word.split()[0] for word in desk.words()) == ["added", "scaled"]
    assert still == "begun"


@pytest.mark.slow
def test_so_many_run_at_the_same_time_and_all_in_turn(desk: Desk, slow: Slow) -> None:
    """What is submitted is let begin in its order, the steps of so many run beside each other, and
    an end waits for all."""
    desk.engine.start()
    ask_slow(desk, RUNS_MAX + 3)
    until(lambda: states(desk) == ["begun"] * RUNS_MAX + ["admitted"] * 3)
    most = slow.most
    slow.go.set()
    until(lambda: states(desk) == ["succeeded"] * (RUNS_MAX + 3))
    keys = [run.request.key for run in reversed(desk.engine.history())]

    assert (most, slow.most) == (RUNS_MAX, RUNS_MAX)
    assert keys == [f"slow-{number}" for number in range(RUNS_MAX + 3)]
    assert desk.faults() == []


@pytest.mark.slow
def test_an_end_stops_what_runs_and_what_waits_for_its_turn(desk: Desk, slow: Slow) -> None:
    """Nothing more is done, and the audit says so of each."""
    desk.engine.start()
    ask_slow(desk, RUNS_MAX + 3)
    until(lambda: len(states(desk)) == RUNS_MAX + 3)
    is_idle = desk.engine.stop(time.monotonic() + WAIT_S)

    assert (is_idle, states(desk)) == (True, ["stopped"] * (RUNS_MAX + 3))
    assert slow.most <= RUNS_MAX
    assert desk.faults() == []


@pytest.mark.slow
def test_a_webhook_that_does_not_answer_holds_nothing_up(desk: Desk) -> None:
    """Requests are decided meanwhile; of notices so many wait, and the others are counted."""
    answers = threading.Event()

    def send(event: str, fields: Mapping[str, object]) -> StepResult:
        answers.wait(WAIT_S)
        return StepResult(verdict="succeeded", detail="")

    desk.notice = Notice(send=send)
    desk.engine.start()
    before = sum(point[0] for point in read_rejected())
    for number in range(NOTICES_WAITING_MAX + 3):
        target = HOSTS[number % len(HOSTS)]
        desk.engine.submit(request("scale-nodes", f"notice-{number}", target=target))
    desk.engine.submit(request(metric=None))
    until(lambda: len(desk.words()) == 1)
    counted = sum(point[0] for point in read_rejected()) - before
    answers.set()
    desk.engine.stop(time.monotonic() + WAIT_S)

    assert counted == 2  # one is being sent
    assert len(desk.events) == NOTICES_WAITING_MAX + 3 + 3

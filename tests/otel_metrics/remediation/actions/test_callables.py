"""The step `callable`: a function of the service, its failures, and one that hangs."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from otel_metrics.remediation import Call, register
from otel_metrics.remediation.actions.callables import CallableStep
from otel_metrics.remediation.actions.waiting import LEFT_BEHIND_MAX, left_behind
from otel_metrics.remediation.model import StepResult, Value
from otel_metrics.remediation.registry import REGISTERED, Function
from tests.otel_metrics.remediation.payloads import PAYLOADS

WAIT_S = 30.0


def call(
    function: Function, *, timeout_s: float = WAIT_S, stopped: Callable[[], bool] = lambda: False
) -> StepResult:
    """Run a step of a function called `drain`."""
    step = CallableStep(name="drain", timeout_s=timeout_s, functions={"drain": function})
    return step.run({"target": "host-1"}, run_id="r1", stopped=stopped)


@pytest.fixture
def hanging() -> Iterator[Function]:
    """A function that does not come back before the test is over."""
    over = threading.Event()
    yield lambda _: over.wait(WAIT_S)
    over.set()
    while left_behind():
        time.sleep(0.01)


def test_a_registered_function_is_called_with_what_the_playbook_allows() -> None:
    """And what it says is kept."""
    register("drain", lambda call: f"{call.run_id} drained\n{call.parameters['target']}")
    step = CallableStep(name="drain", timeout_s=WAIT_S, functions=REGISTERED)

    found = step.run({"target": "host-1"}, run_id="r1", stopped=lambda: False)
    del REGISTERED["drain"]
    assert found == StepResult(verdict="succeeded", detail="callable drain: r1 drained host-1")


def test_every_payload_arrives_unchanged() -> None:
    """As a value of Python, of which nothing is made."""
    received: list[Value] = []
    step = CallableStep(
        name="drain",
        timeout_s=WAIT_S,
        functions={"drain": lambda call: received.append(call.parameters["target"])},
    )
    for payload in PAYLOADS:
        step.run({"target": payload}, run_id="r1", stopped=lambda: False)

    assert received == list(PAYLOADS)


def test_what_would_be_called_is_planned() -> None:
    """The name and the values, in an order that does not change."""
    step = CallableStep(name="drain", timeout_s=1, functions={})

    assert step.plan({"b": 1, "a": "x"}) == ("callable", "drain", "a=x", "b=1")


def _raises(_: Call) -> None:
    raise RuntimeError("no route to\nhost-1, password=hunter2hunter2")


def _exits(_: Call) -> None:
    raise SystemExit(3)


class _MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def _fails_to_say_why(_: Call) -> None:
    raise _MuteError


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda _: None, ("succeeded", "callable drain: returned")),
        (lambda _: 7, ("succeeded", "callable drain: returned")),
        (lambda _: False, ("failed", "callable drain: returned False")),
        (_exits, ("failed", "callable drain: SystemExit: 3")),
        (_fails_to_say_why, ("failed", "callable drain: _MuteError")),
        (lambda: None, ("failed", None)),
    ],
)
def test_how_a_function_ends_is_its_result(
    function: Function, expected: tuple[str, str | None]
) -> None:
    """Nothing that it does reaches the caller as an exception."""
    found = call(function)

    assert (found.verdict, found.detail if expected[1] else None) == expected


def test_why_a_function_failed_is_one_line_without_secrets() -> None:
    """It goes into the audit."""
    found = call(_raises)

    assert found.verdict == "failed"
    assert found.detail.startswith("callable drain: RuntimeError: no route to host-1, ")
    assert "hunter2" not in found.detail


def test_a_name_that_is_not_registered_fails_with_a_hint() -> None:
    """When it is run: a service may register after its start."""
    step = CallableStep(name="drian", timeout_s=1, functions={"drain": lambda _: None})

    assert step.run({}, run_id="r1", stopped=lambda: False) == StepResult(
        verdict="failed",
        detail="callable drian: is not registered in this process; did you mean 'drain'?",
    )


def test_a_function_that_hangs_is_given_up(hanging: Function) -> None:
    """It goes on, which is counted; the run has timed out."""
    assert call(hanging, timeout_s=0.1) == StepResult(
        verdict="timed_out", detail="callable drain: given up after 0.1 s"
    )
    assert left_behind() == 1


def test_the_kill_switch_gives_a_function_up_within_two_seconds(hanging: Function) -> None:
    """The function itself can ask for the switch too."""
    switch = threading.Event()
    asked: list[bool] = []

    def function(call: Call) -> None:
        switch.set()
        hanging(call)
        asked.append(call.stopped())

    began = time.monotonic()
    found = call(function, stopped=switch.is_set)
    assert found == StepResult(
        verdict="stopped", detail="callable drain: given up: the kill switch is on"
    )
    assert time.monotonic() - began < 2


def test_so_many_functions_hang_and_no_more(hanging: Function) -> None:
    """A playbook that runs every minute does not fill the service with threads."""
    for _ in range(LEFT_BEHIND_MAX):
        call(hanging, timeout_s=0.01)

    assert call(hanging) == StepResult(
        verdict="failed",
        detail=f"callable drain: not begun: {LEFT_BEHIND_MAX} others hang; restart the service",
    )


def test_a_forked_child_has_none_of_the_hanging_functions(hanging: Function) -> None:
    """Its parent's threads are not in it."""
    call(hanging, timeout_s=0.01)
    child = os.fork()
    if child == 0:
        os._exit(left_behind())

    assert os.waitpid(child, 0)[1] == 0


async def _coroutine(_: Call) -> None:
    pass


@pytest.mark.parametrize(
    ("name", "function", "expected"),
    [
        ("", print, "name='': is no name"),
        ("a b", print, "name='a b': is no name"),
        ("drain", None, "function of 'drain': cannot be called"),
        ("drain", _coroutine, "function of 'drain': cannot be called; give one that is no"),
    ],
)
def test_what_cannot_be_called_is_not_registered(
    name: str, function: Function, expected: str
) -> None:
    """A coroutine function would return at once and do nothing."""
    with pytest.raises(ValueError, match=expected):
        register(name, function)

    assert REGISTERED == {}

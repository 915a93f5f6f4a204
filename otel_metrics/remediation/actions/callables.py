"""The step `callable`: a function that the service registered, by its name.

Threads: a function is called on a thread of its own. The registry is a dictionary of which each use
is one step; a forked child has what its parent had.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_metrics.catalog.fields import near
from otel_metrics.remediation.actions.waiting import line, result_of
from otel_metrics.remediation.model import StepResult, Value

__all__ = ["FUNCTIONS_MAX", "REGISTERED", "Call", "CallableStep", "Function", "register"]

FUNCTIONS_MAX: Final = 1_000
"""Functions that one process may register."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a function is asked to do.

    Attributes:
        parameters: values that the playbook allows.
        run_id: the same where a run is done again.
        stopped: whether the kill switch is on; a function that takes long asks it now and then.
    """

    parameters: Mapping[str, Value]
    run_id: str
    stopped: Callable[[], bool]


Function = Callable[[Call], object]

REGISTERED: Final[dict[str, Function]] = {}
"""The functions of this process, by their names."""


def register(name: str, function: Function) -> None:
    """Let operators bind playbooks to a function of this service, as `callable: {name: NAME}`.

    A function of the same name is replaced. It fails where it raises or returns False; a text that
    it returns is kept with the run.

    Raises:
        ValueError: the name is none, or the function cannot be called.

    >>> register("drain", lambda call: f"drained {call.parameters['target']}")
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name={name!r}: is no name; use letters, digits, '_', '.', '-'")
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ValueError(f"function of {name!r}: cannot be called; give one that is no coroutine")
    if name not in REGISTERED and len(REGISTERED) >= FUNCTIONS_MAX:
        raise ValueError(f"name={name!r}: is one of more than {FUNCTIONS_MAX:,}; register fewer")
    REGISTERED[name] = function


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableStep:
    """Calls a registered function; satisfies `model.Step`.

    Whether there is one is seen when it is called: a command that reads the file has none of the
    service's, and a service may register its own after it was started.
    """

    name: str
    timeout_s: float
    functions: Mapping[str, Function]

    def plan(self, parameters: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the function's name, and what it is given."""
        return ("callable", self.name, *(f"{key}={parameters[key]}" for key in sorted(parameters)))

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        """Call it and wait for its end. Never raises."""
        what = f"callable {self.name}"
        function = self.functions.get(self.name)
        if function is None:
            remedy = near(self.name, self.functions, otherwise="register it in the service")
            detail = f"{what}: is not registered in this process; {remedy}"
            return StepResult(verdict="failed", detail=detail)
        call = Call(parameters=dict(parameters), run_id=run_id, stopped=stopped)
        return result_of(
            lambda: _called(function, call, what),
            what=what,
            timeout_s=self.timeout_s,
            stopped=stopped,
        )


def _called(function: Function, call: Call, what: str) -> StepResult:
    returned = function(call)
    if returned is False:
        return StepResult(verdict="failed", detail=f"{what}: returned False")
    said = line(returned) if isinstance(returned, str) else ""
    return StepResult(verdict="succeeded", detail=f"{what}: {said or 'returned'}")

"""The step `callable`: a function that the service registered, by its name.

Threads: a function is called on a thread of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from otel_metrics.catalog.fields import near
from otel_metrics.remediation.actions.waiting import line, result_of
from otel_metrics.remediation.model import StepResult, Value
from otel_metrics.remediation.registry import Call, Function

__all__ = ["CallableStep"]


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

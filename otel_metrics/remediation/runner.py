"""Runs the steps of a playbook in order, and after a failure its rollback, where one is declared.

Nothing goes on silently: the first step that does not succeed ends the run, and the first of the
rollback ends that. The kill switch is looked at before each step and given to each, also there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from otel_metrics.remediation.considering import Considered
from otel_metrics.remediation.model import Result, Step, StepResult, Value
from otel_metrics.remediation.runs import StepRecord

__all__ = ["Ran", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of the steps, in one word, in one line, and of each."""

    result: Result
    detail: str
    steps: Sequence[StepRecord]


def run(considered: Considered, *, run_id: str, why_stopped: Callable[[], str]) -> Ran:
    """Run the steps of what was considered. Never raises.

    Args:
        why_stopped: says why nothing may run any more; empty where it may.
    """
    records: list[StepRecord] = []
    binding, parameters = considered.binding, considered.step_values

    def in_order(
        phase: Literal["step", "rollback"], steps: Sequence[Step], plans: Sequence[Sequence[str]]
    ) -> StepResult:
        """Run steps until one does not succeed, and return what the last one said."""
        last = StepResult(verdict="succeeded", detail="nothing to do")
        for step, plan in zip(steps, plans, strict=True):
            why = why_stopped()
            if why:
                last = StepResult(verdict="stopped", detail=why)
            else:
                last = _one(step, parameters, run_id, lambda: bool(why_stopped()))
            records.append(_record(phase, plan, last))
            if last.verdict != "succeeded":
                break
        return last

    last = in_order("step", binding.steps, considered.plan)
    said = f"step {len(records)} of {len(binding.steps)}: {last.detail}"
    if last.verdict in ("failed", "timed_out") and binding.rollback:
        undone = in_order("rollback", binding.rollback, considered.rollback)
        said = f"{said}; rollback {undone.verdict}: {undone.detail}"
    return Ran(result=last.verdict, detail=said, steps=records)


def _record(
    phase: Literal["step", "rollback"], plan: Sequence[str], said: StepResult
) -> StepRecord:
    return StepRecord(
        phase=phase,
        plan=list(plan),
        verdict=said.verdict,
        detail=said.detail,
        exit_code=said.exit_code,
        output=said.output,
        output_sha256=said.output_sha256,
    )


def _one(
    step: Step, parameters: Mapping[str, Value], run_id: str, stopped: Callable[[], bool]
) -> StepResult:
    try:
        return step.run(parameters, run_id=run_id, stopped=stopped)
    except Exception as error:  # noqa: BLE001  # a step must not, and a run must end all the same
        return StepResult(verdict="failed", detail=f"{type(error).__name__}: {error}")

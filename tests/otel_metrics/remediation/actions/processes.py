"""Running a program as a step, and finding what is left of it."""

import time
from collections.abc import Callable

import psutil

from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.model import StepResult

__all__ = ["WAIT_S", "Script", "marked", "run", "wait_for"]

WAIT_S = 30.0

Script = Callable[..., ProgramStep]
"""Makes a step of the text of a Python program."""


def run(step: ProgramStep, run_id: str, **parameters: str) -> StepResult:
    """Run a step with the kill switch off."""
    return step.run(parameters, run_id=run_id, stopped=lambda: False)


def marked(run_id: str) -> list[psutil.Process]:
    """Return the processes that a run started, however they forked."""
    return [process for process in psutil.process_iter() if _is_of(run_id, process)]


def _is_of(run_id: str, process: psutil.Process) -> bool:
    try:
        variables = process.environ()
        is_there = process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:  # it ended meanwhile
        return False
    return is_there and variables.get("OTEL_METRICS_RUN_ID") == run_id


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    over = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < over
        time.sleep(0.05)

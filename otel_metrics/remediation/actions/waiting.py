"""Work that cannot be ended from outside, on a thread of its own, with a time limit.

What does not come back is left behind: its thread goes on, its result is lost. So many threads and
no more are left behind; then nothing new is begun.

Threads: each call starts one daemon thread and waits for it on the caller's. `_left` is only added
to and replaced, each in one step, so that no lock guards it. A fork leaves the child without them.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from otel_metrics import values
from otel_metrics.remediation.model import StepResult

__all__ = ["DETAIL_CHARS_MAX", "LEFT_BEHIND_MAX", "is_stopped", "left_behind", "line", "result_of"]

LEFT_BEHIND_MAX: Final = 16
"""Threads of one process that hang, after which no more are started."""
LOOK_EVERY_S: Final = 0.1
"""How often the kill switch is looked at."""
DETAIL_CHARS_MAX: Final = 500
"""Longest text of others in a result's detail."""

_left: list[threading.Thread] = []


def result_of(
    work: Callable[[], StepResult],
    *,
    what: str,
    timeout_s: float,
    stopped: Callable[[], bool],
    abort: Callable[[], None] = lambda: None,
) -> StepResult:
    """Do some work and return its result, or that it took too long. Never raises.

    Args:
        work: what it raises is a failure.
        what: the work is called in results.
        stopped: the kill switch.
        abort: what may make work that is waited for no longer come back soon; does not wait.
    """
    if is_stopped(stopped):
        return StepResult(verdict="stopped", detail=f"{what}: not begun: the kill switch is on")
    if left_behind() >= LEFT_BEHIND_MAX:
        detail = f"{what}: not begun: {LEFT_BEHIND_MAX} others hang; restart the service"
        return StepResult(verdict="failed", detail=detail)
    results: list[StepResult] = []
    thread = threading.Thread(
        target=lambda: results.append(_result(work, what)), name=f"otel-metrics {what}", daemon=True
    )
    try:
        thread.start()
    except RuntimeError as error:  # no more threads, or the interpreter ends
        return StepResult(verdict="failed", detail=f"{what}: not begun: {error}")
    over = time.monotonic() + timeout_s
    while thread.is_alive() and time.monotonic() < over and not is_stopped(stopped):
        thread.join(min(LOOK_EVERY_S, max(0.0, over - time.monotonic())))
    if results:
        return results[0]
    _left.append(thread)
    abort()
    if time.monotonic() < over:
        return StepResult(verdict="stopped", detail=f"{what}: given up: the kill switch is on")
    return StepResult(verdict="timed_out", detail=f"{what}: given up after {timeout_s:g} s")


def left_behind() -> int:
    """Return how many threads go on that nobody waits for."""
    global _left
    _left = [thread for thread in _left if thread.is_alive()]
    return len(_left)


def is_stopped(stopped: Callable[[], bool]) -> bool:
    """Tell whether the kill switch is on; one that cannot be read is."""
    try:
        return stopped()
    except Exception:  # noqa: BLE001  # nothing runs that nobody could stop
        return True


def line(text: object) -> str:
    """Return what others said as one short line without secrets."""
    cleaned = str(values.clean(str(text)[: 4 * DETAIL_CHARS_MAX]))
    return " ".join(cleaned.split())[:DETAIL_CHARS_MAX]


def _result(work: Callable[[], StepResult], what: str) -> StepResult:
    try:
        return work()
    except BaseException as error:  # noqa: BLE001  # the service's function, on a thread of ours
        said = line(_said(error))
        return StepResult(verdict="failed", detail=f"{what}: {said}")


def _said(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001  # the error's own code
        return name

"""One program, run to its end under a supervisor that leaves nothing of it behind.

The program gets no shell, no variable of the service, no input, and no right that the service has
not. What it may do with the service's user, it may: this holds back mistakes, it is no sandbox.

Threads: `run` keeps its caller waiting, and shares nothing with other calls.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final

from otel_metrics import values
from otel_metrics.remediation.actions import supervisor
from otel_metrics.remediation.actions.waiting import is_stopped
from otel_metrics.remediation.model import StepResult, StepVerdict

__all__ = ["PATH", "Command", "run"]

PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs find others. Not `/usr/local`, in which more people than root may write."""
LOOK_EVERY_S: Final = 0.2
"""How often the kill switch is looked at."""
START_S: Final = 30.0
"""What a supervisor may take to begin, on a machine that is busy."""
END_S: Final = supervisor.STOP_GRACE_S + 2.0
"""What a supervisor may take that was asked to end, before it is killed and its program looked
for."""
RUN_ID: Final = "OTEL_METRICS_RUN_ID"
"""The variable that tells a program which run it is of."""
STEP_ID: Final = "OTEL_METRICS_STEP_ID"
"""The variable by which the processes of one step are found."""
SWEEP_EVERY_S: Final = 0.02
ENVIRONMENT_BYTES_MAX: Final = 65_536
REPORT_BYTES_MAX: Final = 16 * supervisor.OUTPUT_BYTES_MAX

_ENVIRONMENT: Final = {"PATH": PATH, "LANG": "C.UTF-8"}
_VERDICTS: Final[dict[str, StepVerdict]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "timed_out": "timed_out",
    "stopped": "stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is run.

    Attributes:
        argv: the program's absolute path, and its arguments.
        timeout_s: how long it may take.
        background: whether what it started may outlive it where it succeeds.
    """

    argv: tuple[str, ...]
    timeout_s: float
    background: bool = False


def run(command: Command, *, run_id: str, stopped: Callable[[], bool]) -> StepResult:
    """Run a program and wait for its end. Never raises.

    Args:
        run_id: what the program finds in `OTEL_METRICS_RUN_ID`.
        stopped: the kill switch.
    """
    program = command.argv[0]
    if is_stopped(stopped):
        return StepResult(
            verdict="stopped", detail=f"{program}: not started: the kill switch is on"
        )
    try:
        return _result(program, _supervised(command, run_id, stopped))
    except OSError as error:
        return StepResult(verdict="failed", detail=f"{program}: cannot be started: {error}")


def _supervised(command: Command, run_id: str, stopped: Callable[[], bool]) -> dict[str, Any]:
    step_id = uuid.uuid4().hex
    order = {
        "argv": command.argv,
        "timeout_s": command.timeout_s,
        "background": command.background,
        "environment": _ENVIRONMENT | {RUN_ID: run_id, STEP_ID: step_id},
        "parent": os.getpid(),
    }
    with _started(json.dumps(order).encode()) as process:
        over = time.monotonic() + START_S + command.timeout_s + supervisor.KILL_S
        report, asked = _report(process, stopped, over)
    with contextlib.suppress(ValueError):  # none, or cut short
        found = json.loads(report)
        if isinstance(found, dict):
            return found
    left = _sweep(f"{STEP_ID}={step_id}".encode())
    if asked:
        return {"verdict": "stopped", "detail": f"ended by the kill switch{left}"}
    return {"verdict": "failed", "detail": f"its supervisor ended without a report{left}"}


def _sweep(marker: bytes) -> str:
    """Kill what a supervisor left that was killed itself; return what there is to say of it.

    By the variable that they have inherited: there is no other trace of them.
    """
    over = time.monotonic() + supervisor.KILL_S
    while found := list(_marked(marker)):
        if time.monotonic() > over:
            return f"; {len(found)} of its processes could not be ended"
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(SWEEP_EVERY_S)
    return ""


def _marked(marker: bytes) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            # Of another user's process it cannot be read, and of one that has ended it is empty.
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if marker in file.read(ENVIRONMENT_BYTES_MAX).split(b"\0"):
                    yield int(name)


@contextmanager
def _started(order: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """Start a supervisor, and see to it that none is left."""
    with _in_memory(order) as given:
        process = subprocess.Popen(  # noqa: S603  # our own file, no shell
            [_interpreter(), "-I", "-S", supervisor.__file__],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            umask=0o077,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _interpreter() -> str:
    """Return this Python, also where it is a part of a server such as uWSGI."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", "python3")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a supervisor end what it runs, where it still runs something, and then end it."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _report(
    process: subprocess.Popen[bytes], stopped: Callable[[], bool], over: float
) -> tuple[bytes, bool]:
    """Return what the supervisor says at its end, and whether it was asked to end early."""
    report = b""
    asked = False
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < over:
            if selector.select(LOOK_EVERY_S):
                data = os.read(process.stdout.fileno(), REPORT_BYTES_MAX)
                report += data
                if not data or len(report) > REPORT_BYTES_MAX:
                    return report, asked
            if not asked and is_stopped(stopped):
                asked = True
                process.terminate()
                over = min(over, time.monotonic() + END_S)
    process.kill()
    return report, asked


@contextmanager
def _in_memory(data: bytes) -> Iterator[IO[bytes]]:
    """Give data as a file that is in no folder, so that nobody waits for its reader."""
    with open(os.memfd_create("order"), "r+b", buffering=0) as file:
        file.write(data)
        file.seek(0)
        yield file


def _result(program: str, report: dict[str, Any]) -> StepResult:
    verdict = _VERDICTS.get(report.get("verdict", ""))
    if verdict is None:
        return StepResult(verdict="failed", detail=f"{program}: its supervisor made no sense")
    output = str(report.get("output", "")).encode("latin-1").decode("utf-8", "replace")
    return StepResult(
        verdict=verdict,
        detail=f"{program}: {report.get('detail')}",
        exit_code=report.get("exit_code"),
        output=str(values.clean(output)),
        output_sha256=str(report.get("output_sha256", "")),
    )

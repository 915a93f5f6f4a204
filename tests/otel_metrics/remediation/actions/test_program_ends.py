"""How a program ends, by itself or not, and that nothing of it is left."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from otel_metrics.remediation.actions.supervisor import OUTPUT_BYTES_MAX, PROCESSES_MAX
from otel_metrics.remediation.model import StepResult
from tests.otel_metrics.remediation.actions.processes import (
    WAIT_S,
    Script,
    marked,
    run,
    wait_for,
)

HANGS = {
    "sleeps": "time.sleep(600)",
    "ignores SIGTERM": "signal.signal(15, signal.SIG_IGN)\ntime.sleep(600)",
    "forks": "os.fork(); os.fork()\ntime.sleep(600)",
    "forks twice": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        signal.signal(15, signal.SIG_IGN)\n        time.sleep(600)\n    os._exit(0)\n"
        "time.sleep(600)"
    ),
    "closes its pipes": "os.closerange(0, 3)\ntime.sleep(600)",
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "handles SIGTERM with a flood": (
        "def flood(*_):\n    while True: os.write(1, bytes(65536))\n"
        "signal.signal(15, flood)\ntime.sleep(600)"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("text", HANGS.values(), ids=HANGS)
def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    script: Script, run_id: str, text: str
) -> None:
    """At its time limit; it has two seconds to end by itself."""
    step = script(f"import os, signal, time\n{text}", timeout_s=1)
    began = time.monotonic()

    found = run(step, run_id)
    assert (found.verdict, found.detail) == ("timed_out", f"{step.path}: ended after 1 s")
    assert time.monotonic() - began < WAIT_S
    assert marked(run_id) == []


@pytest.mark.slow
def test_a_flood_is_hashed_and_not_kept(script: Script, run_id: str) -> None:
    """Of a gigabyte of output the first 64 KiB are there, and the hash of all."""
    step = script(
        "import os\nchunk = b'x' * 1048576\n"
        "for _ in range(1024):\n    at = 0\n"
        "    while at < len(chunk): at += os.write(1, chunk[at:])",
        timeout_s=100,
    )
    expected = hashlib.sha256()
    for _ in range(1024):
        expected.update(b"x" * 1_048_576)

    found = run(step, run_id)
    assert (found.verdict, found.output_sha256) == ("succeeded", expected.hexdigest())
    assert found.output == "x" * OUTPUT_BYTES_MAX


@pytest.mark.slow
def test_a_fork_bomb_is_ended(script: Script, run_id: str) -> None:
    """A program that has more processes than any playbook needs is none."""
    step = script(
        f"import os, time\nfor _ in range({PROCESSES_MAX + 50}):\n"
        "    if os.fork() == 0: break\ntime.sleep(600)"
    )

    found = run(step, run_id)
    assert (found.verdict, found.detail) == (
        "failed",
        f"{step.path}: ended because it had more than {PROCESSES_MAX} processes",
    )
    assert marked(run_id) == []


LEAVES_ONE = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        null = os.open('/dev/null', 2)\n"
    "        [os.dup2(null, each) for each in (0, 1, 2)]\n"
    "        time.sleep(600)\n"
    "    os._exit(0)\n"
    "os.wait()\n"
)


def test_what_a_program_leaves_running_is_ended(script: Script, run_id: str) -> None:
    """It has done what it was for; nobody would look after the rest."""
    step = script(LEAVES_ONE)

    found = run(step, run_id)
    assert (found.verdict, found.detail) == (
        "succeeded",
        f"{step.path}: exit code 0; what it left running was ended",
    )


@pytest.mark.slow
@pytest.mark.parametrize(("exit_code", "left"), [(0, 1), (1, 0)])
def test_what_runs_in_the_background_lives_on_where_the_operator_says_so(
    script: Script, run_id: str, exit_code: int, left: int
) -> None:
    """A program may start a worker, if it succeeds."""
    step = script(f"{LEAVES_ONE}sys.exit({exit_code})", background=True)

    assert run(step, run_id).exit_code == exit_code
    found = marked(run_id)
    assert len(found) == left
    for process in found:
        process.kill()
        process.wait(WAIT_S)


@pytest.mark.slow
@pytest.mark.parametrize("text", HANGS.values(), ids=HANGS)
def test_the_kill_switch_ends_a_program_within_two_seconds(
    script: Script, run_id: str, text: str
) -> None:
    """With all that it started, whatever it does against it."""
    step = script(f"import os, signal, time\n{text}")
    switch = threading.Event()
    at: list[float] = []

    def throw() -> None:
        while not marked(run_id):
            time.sleep(0.01)
        at.append(time.monotonic())
        switch.set()

    thrower = threading.Thread(target=throw)
    thrower.start()

    found = step.run({}, run_id=run_id, stopped=switch.is_set)
    ended = time.monotonic()
    thrower.join(WAIT_S)
    assert (found.verdict, found.detail) == ("stopped", f"{step.path}: ended by the kill switch")
    assert marked(run_id) == []
    assert ended - at[0] < 2.0


def test_a_switch_that_is_thrown_at_once_stops_too(script: Script, run_id: str) -> None:
    """Also where the supervisor has not begun yet."""
    looks = iter([False])
    step = script("import time\ntime.sleep(600)")

    found = step.run({}, run_id=run_id, stopped=lambda: next(looks, True))
    assert (found.verdict, found.detail) == ("stopped", f"{step.path}: ended by the kill switch")


@pytest.mark.slow
@pytest.mark.parametrize("text", HANGS.values(), ids=HANGS)
def test_a_killed_supervisor_leaves_nothing(script: Script, run_id: str, text: str) -> None:
    """What it was to end is found by the variable that it gave to all of it."""
    step = script(f"import os, signal, time\n{text}")

    def kill() -> None:
        wait_for(lambda: bool(marked(run_id)))
        for process in psutil.Process().children():
            process.kill()

    killer = threading.Thread(target=kill)
    killer.start()

    found = run(step, run_id)
    killer.join(WAIT_S)
    assert (found.verdict, found.detail) == (
        "failed",
        f"{step.path}: its supervisor ended without a report",
    )
    assert marked(run_id) == []


@pytest.mark.slow
def test_a_supervisor_that_does_not_answer_is_ended_too(script: Script, run_id: str) -> None:
    """A program could stop it, as it runs as the same user."""
    step = script("import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(600)")

    found = step.run({}, run_id=run_id, stopped=lambda: bool(marked(run_id)))
    assert (found.verdict, found.detail) == ("stopped", f"{step.path}: ended by the kill switch")
    assert marked(run_id) == []


def test_nothing_starts_while_the_kill_switch_is_on(script: Script, run_id: str) -> None:
    """Not even for a moment."""
    step = script("open('began', 'w')")

    found = step.run({}, run_id=run_id, stopped=lambda: True)
    assert found == StepResult(
        verdict="stopped", detail=f"{step.path}: not started: the kill switch is on"
    )


def test_a_kill_switch_that_cannot_be_read_is_on(script: Script, run_id: str) -> None:
    """Nothing runs that nobody could stop."""

    def broken() -> bool:
        raise OSError("no such switch")

    assert script("").run({}, run_id=run_id, stopped=broken).verdict == "stopped"


RUN = """
import sys
from otel_metrics.remediation.actions.program import ProgramStep
step = ProgramStep(path=sys.argv[1], arguments=(), timeout_s=600)
step.run({}, run_id=sys.argv[2], stopped=lambda: False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("text", HANGS.values(), ids=HANGS)
def test_a_program_does_not_outlive_a_killed_service(
    script: Script, run_id: str, text: str
) -> None:
    """Nobody would stop it, and another process may begin the same run."""
    step = script(f"import os, signal, time\n{text}")
    service = subprocess.Popen([sys.executable, "-c", RUN, step.path, run_id])
    wait_for(lambda: bool(marked(run_id)))

    service.kill()
    service.wait(WAIT_S)

    wait_for(lambda: not marked(run_id))


@pytest.mark.slow
def test_a_service_may_be_killed_at_any_moment(script: Script, run_id: str) -> None:
    """From before its supervisor has begun until after its program forked; nothing is left."""
    step = script(f"import os, signal, time\n{HANGS['forks twice']}")
    for delay_ms in range(0, 300, 50):
        service = subprocess.Popen(
            [sys.executable, "-c", RUN_WHEN_READY, step.path, run_id], stdout=subprocess.PIPE
        )
        assert service.stdout is not None
        service.stdout.readline()
        time.sleep(delay_ms / 1_000)  # the moment is what is tested
        service.send_signal(signal.SIGSTOP)
        supervisors = psutil.Process(service.pid).children()
        service.kill()
        service.wait(WAIT_S)
        service.stdout.close()
        assert psutil.wait_procs(supervisors, timeout=WAIT_S)[1] == []

    assert marked(run_id) == []


RUN_WHEN_READY = """
import sys
from otel_metrics.remediation.actions import process, program
step = program.ProgramStep(path=sys.argv[1], arguments=(), timeout_s=600)
print("ready", flush=True)
step.run({}, run_id=sys.argv[2], stopped=lambda: False)
"""


@pytest.mark.slow
def test_a_forked_child_does_not_keep_the_program_of_its_parent(
    script: Script, run_id: str
) -> None:
    """A worker that is forked during a run holds nothing by which the program would live on."""
    step = script("import time\ntime.sleep(600)")
    service = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN_AND_FORK, step.path, run_id],
        stdout=subprocess.PIPE,
    )
    assert service.stdout is not None
    child = int(service.stdout.readline())

    service.kill()
    service.wait(WAIT_S)

    wait_for(lambda: not marked(run_id))
    os.kill(child, 9)
    service.stdout.close()


RUN_AND_FORK = """
import os, sys, threading, time
import psutil
from otel_metrics.remediation.actions.program import ProgramStep
step = ProgramStep(path=sys.argv[1], arguments=(), timeout_s=600)
run = lambda: step.run({}, run_id=sys.argv[2], stopped=lambda: False)
threading.Thread(target=run, daemon=True).start()
while not psutil.Process().children(recursive=True)[1:]:
    time.sleep(0.01)
child = os.fork()
if child == 0:
    time.sleep(600)
print(child, flush=True)
time.sleep(600)
"""


def test_a_run_leaves_no_descriptor_and_no_child(script: Script, run_id: str) -> None:
    """A service that runs playbooks for years keeps its resources."""
    step = script("")
    run(step, run_id)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        run(step, run_id)

    assert len(os.listdir("/proc/self/fd")) <= before  # others of this process may end
    assert psutil.Process().children() == []

"""The step `program`: what a program is given, and that nothing of it is left."""

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from otel_metrics.catalog.model import Parameter
from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.actions.supervisor import OUTPUT_BYTES_MAX, PROCESSES_MAX
from otel_metrics.remediation.model import StepResult
from tests.otel_metrics.remediation.payloads import PAYLOADS

PRINTF = "/usr/bin/printf"
WAIT_S = 30.0

Script = Callable[..., ProgramStep]


def never() -> bool:
    """A kill switch that is off."""
    return False


@pytest.fixture
def run_id(request: pytest.FixtureRequest) -> Iterator[str]:
    """An id by which every process of a run is found; what is left of it fails the test."""
    found = f"{request.node.name}-{os.urandom(8).hex()}"
    yield found
    left = marked(found)
    for process in left:
        process.kill()
    assert left == []


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


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return what makes a step of a Python program."""

    def write(text: str, *, timeout_s: float = WAIT_S, background: bool = False) -> ProgramStep:
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable} -IS\n{text}")
        path.chmod(0o700)
        return ProgramStep(path=str(path), arguments=(), timeout_s=timeout_s, background=background)

    return write


def run(step: ProgramStep, run_id: str, **parameters: str) -> StepResult:
    """Run a step with the kill switch off."""
    return step.run(parameters, run_id=run_id, stopped=never)


def test_what_a_program_says_is_its_result(script: Script, run_id: str) -> None:
    """Exit code, output of both streams in their order, and the output's hash."""
    step = script(
        "import os, sys\n"
        "os.write(1, b'out '); os.write(2, b'err '); os.write(1, b'end'); sys.exit(3)"
    )

    assert run(step, run_id) == StepResult(
        verdict="failed",
        detail=f"{step.path}: exit code 3",
        exit_code=3,
        output="out err end",
        output_sha256=hashlib.sha256(b"out err end").hexdigest(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 300, 100))
def test_every_payload_arrives_as_one_argument(run_id: str, first: int) -> None:
    """Three hundred of them, each printed back byte for byte by a program that is no shell."""
    assert len(PAYLOADS) >= 300
    values = {f"p{index}": text for index, text in enumerate(PAYLOADS[first : first + 100])}
    declared = [Parameter(name=name, type="string", brief="", pattern="(?s).+") for name in values]
    step = ProgramStep(path=PRINTF, arguments=("%s\\0", *declared), timeout_s=WAIT_S)

    found = run(step, run_id, **values)
    expected = b"".join(text.encode() + b"\0" for text in values.values())
    assert (found.verdict, found.output_sha256) == (
        "succeeded",
        hashlib.sha256(expected).hexdigest(),
    )
    assert step.plan(values) == (PRINTF, "%s\\0", *values.values())


@pytest.mark.parametrize("value", ["--flag", "-rf", "a\0b", "\0"])
def test_an_option_or_nul_is_refused(run_id: str, value: str) -> None:
    """However wide the pattern of the parameter is; the program does not start."""
    declared = Parameter(name="p", type="string", brief="", pattern="(?s).+")
    step = ProgramStep(path=PRINTF, arguments=(declared,), timeout_s=WAIT_S)

    found = run(step, run_id, p=value)
    assert found.verdict == "failed"
    assert found.detail.startswith(f"{PRINTF}: not started: p")


def test_a_program_knows_nothing_of_the_service(
    script: Script, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment is four variables, its input empty, its folder the root."""
    for name in (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "AWS_SECRET_ACCESS_KEY",
        "LD_PRELOAD_X",
        "PYTHONPATH",
    ):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("PATH", "/tmp/hijacked")
    step = script(
        "import os, sys\n"
        "mask = os.umask(0)\n"
        "print(dict(sorted(os.environ.items())), os.getcwd(), oct(mask), sys.stdin.read() == '',\n"
        "      os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd')))"
    )

    found = run(step, run_id)
    environment = {
        "LANG": "C.UTF-8",
        "OTEL_METRICS_RUN_ID": run_id,
        "OTEL_METRICS_STEP_ID": "0" * 32,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    # The fourth descriptor is that of the listing itself.
    expected = f"{environment} / 0o77 True True ['0', '1', '2', '3']\n"
    assert re.sub("[0-9a-f]{32}", "0" * 32, found.output) == expected


def test_a_program_gets_no_descriptor_and_no_signal_mask_of_the_service(
    script: Script, run_id: str
) -> None:
    """A file that the service left open to heirs, and signals that it ignores, are its own."""
    inherited = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    step = script(
        "import os\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "sigs = [l.split()[1] for l in lines if l.startswith(('SigBlk', 'SigIgn'))]\n"
        "print(len(os.listdir('/proc/self/fd')), sigs)"
    )
    held = subprocess.Popen(
        [sys.executable, "-c", RUN_WITH_IGNORED_SIGNALS, step.path, run_id],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[inherited],
    )

    output, _ = held.communicate(timeout=WAIT_S)
    os.close(inherited)
    # Python itself ignores SIGPIPE and SIGXFSZ (13 and 25).
    assert output == "4 ['0000000000000000', '0000000001001000']\n"


RUN_WITH_IGNORED_SIGNALS = """
import signal, sys
from otel_metrics.remediation.actions.program import ProgramStep
for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
step = ProgramStep(path=sys.argv[1], arguments=(), timeout_s=30)
print(step.run({}, run_id=sys.argv[2], stopped=lambda: False).output, end="")
"""


def test_a_program_is_limited(script: Script, run_id: str) -> None:
    """No core file; bounds on descriptors, memory, file size and processor time."""
    step = script(
        "import resource as r\n"
        "print([r.getrlimit(k)[0] for k in (r.RLIMIT_CORE, r.RLIMIT_NOFILE, r.RLIMIT_FSIZE)],\n"
        "      r.getrlimit(r.RLIMIT_AS)[0] > 0, 0 < r.getrlimit(r.RLIMIT_CPU)[1] < 3600)",
        timeout_s=10,
    )

    assert run(step, run_id).output == "[0, 1024, 1073741824] True True\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os; os.kill(os.getpid(), 9)", ("failed", "ended by signal 9", -9)),
        ("import os; os._exit(0)", ("succeeded", "exit code 0", 0)),
    ],
)
def test_how_a_program_ended_is_said(
    script: Script, run_id: str, text: str, expected: tuple[str, str, int]
) -> None:
    """A signal is no exit code."""
    step = script(text)

    found = run(step, run_id)
    assert (found.verdict, found.detail, found.exit_code) == (
        expected[0],
        f"{step.path}: {expected[1]}",
        expected[2],
    )


def test_a_program_that_cannot_be_started_says_why(tmp_path: Path, run_id: str) -> None:
    """A missing interpreter is no exit code 127."""
    path = tmp_path / "program"
    path.write_text("#!/nowhere/interpreter\n")
    path.chmod(0o700)
    step = ProgramStep(path=str(path), arguments=(), timeout_s=WAIT_S)

    assert run(step, run_id) == StepResult(
        verdict="failed", detail=f"{path}: cannot be started: No such file or directory"
    )


def test_a_program_that_changed_hands_is_not_started(script: Script, run_id: str) -> None:
    """It is looked at before each run, not only when the file was read."""
    step = script("")
    os.chmod(step.path, 0o777)

    assert run(step, run_id) == StepResult(
        verdict="failed",
        detail=f"{step.path}: not started: others may write {step.path} (mode 0777); "
        f"chmod go-w {step.path}",
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


def test_secrets_in_the_output_are_masked(script: Script, run_id: str) -> None:
    """It goes into the audit."""
    step = script("print('password=hunter2hunter2 of ghp_' + 'a1B2' * 9)")

    found = run(step, run_id)
    assert "hunter2" not in found.output
    assert "a1B2" not in found.output


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
from otel_metrics.remediation.actions.program import ProgramStep
step = ProgramStep(path=sys.argv[1], arguments=(), timeout_s=600)
begun = threading.Event()
def looks():
    begun.set()
    return False
threading.Thread(
    target=lambda: step.run({}, run_id=sys.argv[2], stopped=looks), daemon=True
).start()
begun.wait()
time.sleep(1)
child = os.fork()
if child == 0:
    time.sleep(600)
print(child, flush=True)
time.sleep(600)
"""


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    over = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < over
        time.sleep(0.05)


def test_a_run_leaves_no_descriptor_and_no_child(script: Script, run_id: str) -> None:
    """A service that runs playbooks for years keeps its resources."""
    step = script("")
    run(step, run_id)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        run(step, run_id)

    assert len(os.listdir("/proc/self/fd")) == before
    assert psutil.Process().children() == []


def test_a_step_is_planned_without_being_run(script: Script) -> None:
    """What a plan says is exactly what would be started."""
    values: Mapping[str, str | int] = {"n": 3}
    step = ProgramStep(
        path="/usr/bin/true",
        arguments=("--workers", Parameter(name="n", type="integer", brief="")),
        timeout_s=1,
    )

    assert step.plan(values) == ("/usr/bin/true", "--workers", "3")

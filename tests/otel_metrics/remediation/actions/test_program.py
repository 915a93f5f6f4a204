"""The step `program`: what a program is given, and what is known of it afterwards."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from otel_metrics.catalog.model import Parameter
from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.model import StepResult
from tests.otel_metrics.remediation.actions.processes import WAIT_S, Script, run
from tests.otel_metrics.remediation.payloads import PAYLOADS

PRINTF = "/usr/bin/printf"


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
        "sigs = [int(l.split()[1], 16) for l in lines if l.startswith(('SigBlk', 'SigIgn'))]\n"
        "sigs = [f'{mask & 0x7fffffff:x}' for mask in sigs]  # above are those of the C library\n"
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
    assert output == "4 ['0', '1001000']\n"


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


def test_secrets_in_the_output_are_masked(script: Script, run_id: str) -> None:
    """It goes into the audit."""
    step = script("print('password=hunter2hunter2 of ghp_' + 'a1B2' * 9)")

    found = run(step, run_id)
    assert "hunter2" not in found.output
    assert "a1B2" not in found.output


def test_a_step_is_planned_without_being_run(script: Script) -> None:
    """What a plan says is exactly what would be started."""
    values: Mapping[str, str | int] = {"n": 3}
    step = ProgramStep(
        path="/usr/bin/true",
        arguments=("--workers", Parameter(name="n", type="integer", brief="")),
        timeout_s=1,
    )

    assert step.plan(values) == ("/usr/bin/true", "--workers", "3")

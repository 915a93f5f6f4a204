"""The command line as a shell sees it: help, wrong use, pipes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_metrics.version import __version__

PROGRAM = [sys.executable, "-m", "otel_metrics"]


def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the program."""
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_help_lists_every_command() -> None:
    """`--help` names each command with a summary, and is status 0."""
    done = call("--help")

    assert done.returncode == 0
    for command in ("run", "doctor", "demo", "catalog", "archive", "skills"):
        assert f"  {command} " in done.stdout


@pytest.mark.slow
def test_the_version_is_the_distributions() -> None:
    """`--version` says what is installed."""
    assert call("--version").stdout == f"otel-metrics, version {__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--nonsense"], ["run"], ["run", "no-such-program-here"]]
)
def test_wrong_use_is_status_2(arguments: list[str]) -> None:
    """A wrong call says what is wrong on standard error, without a traceback."""
    done = call(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_failure() -> None:
    """`… | head -1` ends well under pipefail, and silently."""
    pipe = f"{' '.join(PROGRAM)} catalog list --format json | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipe],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("catalog list > /dev/full", "otel-metrics: No space left on device\n"),
        ("doctor --all > /dev/full", "otel-metrics: No space left on device\n"),
        ("--help > /dev/full", "otel-metrics: No space left on device\n"),
        (
            "catalog render docs --out /proc/nowhere",
            "otel-metrics: /proc/nowhere: No such file or directory\n",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(command: str, told: str) -> None:
    """A full disk or a bad path is status 1 and one line on standard error, no traceback."""
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(PROGRAM)} {command}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.slow
def test_a_closed_standard_output_is_no_failure() -> None:
    """`>&-` asks for nothing to be printed."""
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(PROGRAM)} catalog list >&-"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_run_hands_on_exit_status_and_arguments(tmp_path: Path) -> None:
    """The program's own flags and status are its own."""
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    done = subprocess.run(
        [*PROGRAM, "run", "--", sys.executable, "-c", code, "--help", "-x"],
        env={**os.environ, "OTEL_METRICS_EXPORTER": "none"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (7, "['--help', '-x']\n")

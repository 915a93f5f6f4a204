"""`run`: what cannot be started is said before anything is, with what to do."""

import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from otel_metrics.cli.run import run

FAKE_PYTHON = """#!/bin/sh
echo "ModuleNotFoundError: No module named 'otel_metrics'" >&2
exit 1
"""


def refused(*arguments: object) -> Result:
    """Call `run` in a folder with a script, a folder and a file, none of which can be started."""
    Path("plain.py").write_text("print(1)")
    Path("data.txt").write_text("1")
    Path("app").mkdir()
    return CliRunner().invoke(run, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["plain.py"],
            "plain.py: cannot be started by itself; did you mean `python plain.py`?",
        ),
        (
            ["--", "./plain.py", "--p", "a b"],
            "./plain.py: cannot be started by itself; did you mean `python ./plain.py --p 'a b'`?",
        ),
        (
            ["./data.txt"],
            "./data.txt: is not executable; name the program that runs it, or chmod +x it",
        ),
        (["./app"], "./app: is a folder; name a program in it"),
        (["no-such-program-here"], "no-such-program-here: no such program on PATH"),
    ],
)
def test_what_cannot_be_started_is_said(arguments: list[str], told: str) -> None:
    """Status 2 and one line with what was meant."""
    result = refused(*arguments)

    assert (result.exit_code, result.output) == (2, f"otel-metrics run: {told}\n")


def test_an_option_before_the_command_is_wrong_use() -> None:
    """It is named, and not taken for the program."""
    result = refused("--foo", "--", "python", "plain.py")

    assert result.exit_code == 2
    assert "--foo" in result.output
    assert "no such program" not in result.output


def test_another_python_without_this_bundle_is_said(tmp_path: Path) -> None:
    """One line that names the interpreter and one that would do, instead of an import error."""
    python = tmp_path / "python3"
    python.write_text(FAKE_PYTHON)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    result = refused(python, "plain.py")

    assert result.exit_code == 2
    assert result.output == (
        f"otel-metrics run: {python}: this Python cannot import otel_metrics; "
        f"install it there, or start {sys.executable}\n"
    )

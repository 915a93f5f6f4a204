"""The README's quick start works when copied line by line into an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"
NOT_RUN = ("pip install",)


def block(language: str) -> str:
    """Return the first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    """Each command ends well and prints the lines that the README shows under it."""
    (tmp_path / "app.py").write_text(block("python"))
    programs = os.path.dirname(sys.executable)
    environ = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environ["OTEL_EXPORTER_PROMETHEUS_PORT"] = "0"
    steps = re.split(r"^\$ ", block("console"), flags=re.MULTILINE)[1:]

    for step in steps:
        command, _, expected = step.partition("\n")
        if command.startswith(NOT_RUN):
            continue
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert expected in done.stdout


def test_every_link_leads_somewhere() -> None:
    """No link of the README points at a file that is not there."""
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", README.read_text())

    assert [target for target in targets if not (README.parent / target).exists()] == []

"""The page on moving executions: its commands print what it says, and its program runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.links import DOCS

PAGE = (DOCS / "moving" / "executions.md").read_text()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def steps() -> list[tuple[str, str]]:
    """Return each command of the example, with what it prints."""
    (block,) = re.findall(r"```\n(\$ .*?)```", PAGE, re.DOTALL)
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.slow
def test_each_command_prints_what_the_page_says(tmp_path: Path) -> None:
    """One after the other, in one folder."""
    printed = [
        subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": PATH},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for command, _ in steps()
    ]

    assert len(printed) == 5
    assert [TIME.sub("", text) for text in printed] == [TIME.sub("", text) for _, text in steps()]


def test_the_program_runs(tmp_path: Path) -> None:
    """It says that the run is kept, and what the runs come to."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "True 1\n", "")
    assert (tmp_path / ".kaizen/metrics/builder/executions.jsonl").exists()


def test_every_link_leads_somewhere() -> None:
    """To a file beside the page, or a heading of it."""
    for path, heading in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", PAGE):
        target = DOCS / "moving" / path
        assert target.exists()
        assert not heading or re.search(rf"^#+ {heading}$", target.read_text(), re.M | re.I)

"""The page on moving a sovereignty store: its program prints what the page says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from otel_metrics.archive.adding import adding
from otel_metrics.sovereignty import record
from tests.docs.links import DOCS, broken

PAGE = (DOCS / "moving" / "sovereignty.md").read_text()


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    """As it stands, and without telemetry."""
    (program, output) = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")
    assert os.listdir(tmp_path / "data") == ["sovereignty_metrics.db"]


def test_the_command_of_the_page_runs(tmp_path: Path) -> None:
    """Over an archive that is where the page says."""
    with adding(tmp_path / "telemetry", service="shop"):
        record("api_call")
    (command,) = re.findall(r"^otel-metrics (sovereignty rebuild .*)$", PAGE, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "otel_metrics", *shlex.split(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data" / "sovereignty_metrics.db").exists()


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it."""
    assert broken(PAGE) == []

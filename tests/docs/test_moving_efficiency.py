"""The page on moving an orchestrator: its program runs under its command, and answers."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from otel_exporter_ndjson import read
from otel_metrics import efficiency
from tests.docs.links import broken

PAGE = (Path(__file__).parents[2] / "docs" / "moving" / "efficiency.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
PROGRAM, PLANS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Do what the page says, up to its service, and give the service's URL."""
    (folder / "app.py").write_text(PROGRAM)
    start = COMMANDS[2].replace("--port 8000", "--port 0")
    shell = "\n".join([*COMMANDS[:2], f"exec {start}"])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["sh", "-c", shell],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"running on (http://[\d.]+:\d+)", line):
                yield found[1]
                return
        raise AssertionError("the service does not start")
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.slow
def test_the_program_runs_under_the_command(tmp_path: Path) -> None:
    """The page of the service shows what the example set, and the archive has it too."""
    with served(tmp_path) as url:
        with urlopen(Request(f"{url}/tick", method="POST")) as ticked:
            assert float(ticked.read()) == 7 / (18 + 1.5 * 0.8112781244591328)
        urlopen(Request(f"{url}/efficiency/1.23", method="PUT")).close()
        token = (tmp_path / "metrics.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with urlopen(Request(f"{url}/metrics", headers=headers)) as answer:
            shown = answer.read().decode().splitlines()

    assert "pforge_efficiency 1.23" in shown
    assert 'pforge_agents_active{agent_type="refactorer"} 0' in shown
    assert 'pforge_tokens_used_total{model="gpt-4o",vendor="openai"} 1200' in shown
    names = {record.data.get("metric") or record.data["event"] for record in read("telemetry")}
    assert {"pforge.efficiency", "pforge.ticks", "efficiency.dip"} <= names


@pytest.mark.slow
def test_the_plans_are_answered_as_the_page_shows(tmp_path: Path) -> None:
    """Line by line, but for what the clock says."""
    (tmp_path / "plans.py").write_text(PLANS)
    record, ask = [command for command in COMMANDS if "plans" in command or "backtest" in command]
    shown = PAGE.partition(f"$ {ask}\n")[2].partition("```")[0]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", f"{record} && {ask}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert without_the_clock(done.stdout) == without_the_clock(shown)


def without_the_clock(output: str) -> list[list[str]]:
    """Return the words of each line without times, minutes and what is per minute."""
    lines = [line.split() for line in output.splitlines()]
    return [
        line[2:7] + line[8:] if line[:1] and re.match(r"\d{4}-", line[0]) else line
        for line in lines
        if line[:3] != ["change", "per", "minute:"]
    ]


def test_every_object_and_function_is_named() -> None:
    """What a caller imports is in the table."""
    table = PAGE[: PAGE.index("## An example")]
    names = [name for name in efficiency.__all__ if name.startswith("PFORGE_")]

    assert [name for name in names if f"`{name}`" not in table] == []


def test_every_link_leads_somewhere() -> None:
    """To a page beside the folder, and a heading there."""
    assert broken(PAGE.replace("](../", "](")) == []

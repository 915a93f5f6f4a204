"""`otel-metrics demo`: real processes, and the archives that they leave."""

import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from otel_exporter_ndjson import read
from otel_metrics.cli.main import root

PROGRAM: Final = [sys.executable, "-c", "from otel_metrics.cli.main import main; main()"]
SERVICE: Final = "otel-metrics-demo"
TIMEOUT_S: Final = 60

Outcomes = Mapping[tuple[str, str], int]

pytestmark = pytest.mark.slow


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run programs with a page of their own, and without colours."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
    monkeypatch.setenv("OTEL_PYTHON_METRICS_HOST_METRICS", "off")
    monkeypatch.setenv("NO_COLOR", "1")


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, "demo", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S
    )


def told(summary: str) -> Outcomes:
    """Return the counts of the table in a summary, by skill and column."""
    lines = summary.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("skill "))
    columns = lines[begin].split()[1:-1]
    rows = (line.replace(",", "").split() for line in lines[begin + 1 : begin + 5])
    return {
        (name, column): int(cell)
        for name, *cells in rows
        for column, cell in zip(columns, cells, strict=False)
        if int(cell)
    }


def last_values(archive: Path, metric: str) -> Iterator[tuple[Mapping[str, str], int]]:
    """Yield the newest point of each series of a metric."""
    newest = {
        tuple(sorted(record.data["attributes"].items())): record.data["value"]
        for record in read(archive, signal="metrics", service=SERVICE)
        if record.data.get("metric") == metric
    }
    for attributes, value in newest.items():
        yield dict(attributes), value


def archived(archive: Path) -> Outcomes:
    """Return what the archive's counters say, by skill and column of the summary."""
    counts: Counter[tuple[str, str]] = Counter()
    for about, value in last_values(archive, "skill.executions"):
        counts[about["gen_ai.skill.name"], "runs"] += value
        if "error.type" in about:
            counts[about["gen_ai.skill.name"], "errors"] += value
    for about, value in last_values(archive, "skill.outcomes"):
        counts[about["gen_ai.skill.name"], about["skill.outcome"]] += value
    return counts


@pytest.mark.usefixtures("environ")
def test_the_archive_holds_what_the_summary_says(tmp_path: Path) -> None:
    """The sums on the screen are those of the counters on disk, and of the events beside them."""
    done = demo("--files", "40")

    counts = told(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert archived(tmp_path / "telemetry") == counts
    events = Counter(
        (record.data["attributes"]["gen_ai.skill.name"], record.data["attributes"]["skill.outcome"])
        for record in read(tmp_path / "telemetry", signal="events", service=SERVICE)
        if record.data["event"] == "skill.outcome"
    )
    assert events == {key: n for key, n in counts.items() if key[1] not in ("runs", "errors")}


@pytest.mark.usefixtures("environ")
def test_every_domain_is_in_the_archive(tmp_path: Path) -> None:
    """One run shows skills, sovereignty, tokens, efficiency and executions."""
    demo("--files", "10")

    assert {record.data["metric"] for record in read(tmp_path / "telemetry", signal="metrics")} >= {
        "skill.executions",
        "skill.execution.duration",
        "skill.outcomes",
        "skill.outcome.confidence",
        "skill.fidelity",
        "skill.patterns",
        "sovereignty.events",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.duration",
        "llm.unpriced_tokens",
        "pforge.tokens.used",
        "pforge.ticks",
        "agent.executions",
        "agent.execution.quality",
    }


@pytest.mark.usefixtures("environ")
def test_the_state_gauges_are_in_the_archive(tmp_path: Path) -> None:
    """How the session stands is there too, beside its counters."""
    demo("--files", "10")

    assert {record.data["metric"] for record in read(tmp_path / "telemetry", signal="metrics")} >= {
        "pforge.agents.active",
        "pforge.efficiency",
        "pforge.entropy",
        "pforge.gaps",
        "pforge.misfits",
        "pforge.false_pieces",
    }


@pytest.mark.usefixtures("environ")
def test_two_runs_over_the_same_files_come_to_the_same(tmp_path: Path) -> None:
    """Counts can be asserted, because input and order are fixed."""
    first = demo("--files", "40", "--archive", str(tmp_path / "first"))
    second = demo("--files", "40", "--archive", str(tmp_path / "second"))

    assert told(first.stdout) == told(second.stdout)
    assert archived(tmp_path / "first") == archived(tmp_path / "second")


@pytest.mark.usefixtures("environ")
def test_time_ends_it_after_the_file_under_way() -> None:
    """No time at all is time for one file."""
    done = demo("--seconds", "0")

    assert done.returncode == 0
    assert re.search(r"^1 of [\d,]+ files of Python .* s; time was over$", done.stdout, re.M)


SMALL = """
import dataclasses, importlib
module = importlib.import_module("otel_metrics.cli.demo")
found = module.find_library()
module.find_library = lambda: dataclasses.replace(found, paths=found.paths[:2])
module.demo(["--seconds", "1"])
"""


@pytest.mark.usefixtures("environ")
def test_it_begins_again_while_time_is_left() -> None:
    """With two files for a second: they are visited until the second is over."""
    command = [sys.executable, "-c", SMALL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    visits = re.search(r"^([\d,]+) visits to 2 files .*; time was over$", done.stdout, re.M)

    assert (done.returncode, done.stderr) == (0, "")
    assert visits is not None
    assert int(visits[1].replace(",", "")) > 4


@pytest.mark.usefixtures("environ")
def test_seconds_and_files_are_variables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make demo` is told by variables."""
    monkeypatch.setenv("DEMO_SECONDS", "0")
    monkeypatch.setenv("DEMO_FILES", "3")

    assert re.search(r"^3 of .*; as many as were asked for$", demo().stdout, re.M)


@pytest.mark.usefixtures("environ")
def test_ctrl_c_ends_it_with_a_summary() -> None:
    """An interrupted demo says what it did, delivers it, and exits with 130."""
    process = subprocess.Popen(
        [*PROGRAM, "demo", "--seconds", "600"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    select.select([process.stdout], [], [], TIMEOUT_S)
    opening = process.stdout.readline()  # the agents are at work from here on
    # The first plain line comes when the handler is in place.
    started = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=TIMEOUT_S)

    assert opening.startswith("Two agents read")
    assert " files, " in started
    assert "; interrupted\n" in rest
    assert re.search(r"^Export to ndjson +delivered$", rest, re.M)
    assert process.returncode == 130


def test_a_port_that_is_taken_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo goes on without a page."""
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", str(port))

        done = demo("--files", "2")

    (line,) = done.stderr.splitlines()
    assert f"localhost:{port}" in line
    assert "metrics page" not in done.stdout
    assert done.returncode == 0


@pytest.mark.usefixtures("environ")
def test_an_archive_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The work is done, the verdict is no, and the exit status says so."""
    (tmp_path / "telemetry").mkdir()
    (tmp_path / "telemetry" / "metrics").write_text("a file, where a folder belongs")

    done = demo("--files", "2")

    assert re.search(r"^Export to ndjson +failed: ", done.stdout, re.M)
    assert done.returncode == 1


@pytest.mark.usefixtures("environ")
def test_without_an_archive_none_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where telemetry is off, the demo says so and offers other commands."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    done = demo("--files", "2")

    assert re.search(r"^Archive +none$", done.stdout, re.M)
    assert "archive ls" not in done.stdout
    assert done.returncode == 0


@pytest.mark.usefixtures("environ")
def test_every_command_to_try_next_works(tmp_path: Path) -> None:
    """A newcomer can copy each line as it stands, also for an archive of another name."""
    done = demo("--files", "2", "--archive", "an archive")
    commands = done.stdout[done.stdout.index("Try next\n") :].splitlines()[1:]
    # The shell finds the program as it does for whoever installed it.
    (tmp_path / "otel-metrics").write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    (tmp_path / "otel-metrics").chmod(0o700)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    assert len(commands) == 3
    for command in commands:
        ran = subprocess.run(
            command,
            shell=True,
            capture_output=True,
            text=True,
            env=environ,
            timeout=TIMEOUT_S,
        )
        assert (command, ran.returncode, ran.stderr) == (command, 0, "")
        assert SERVICE in ran.stdout or "skill" in ran.stdout


@pytest.mark.parametrize("arguments", [["--seconds", "-1"], ["--files", "0"], ["--files", "many"]])
def test_wrong_use_is_refused(arguments: list[str]) -> None:
    """The exit status is 2 and nothing is started."""
    result = CliRunner().invoke(root, ["demo", *arguments])

    assert result.exit_code == 2
    assert not os.path.exists("telemetry")

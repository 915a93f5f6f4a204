"""`OTEL_PYTHON_METRICS_SKILLS_DIR`: what a service records is in skill files, too."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_exporter_ndjson import read
from otel_metrics.skills import MetricsAppender
from otel_metrics.skills.store import SkillFiles

pytestmark = pytest.mark.slow

BEGIN = """
import os, sys, otel_metrics
from otel_metrics import skills
telemetry = otel_metrics.configure(service_name="shop", prometheus_port=0, host_metrics="off")
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder of skill files."""
    return tmp_path / "skills"


def run(
    files: Path, program: str, *, expected: int = 0, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a service with the variable set."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(program)],
        env={**os.environ, "OTEL_PYTHON_METRICS_SKILLS_DIR": str(files), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    return done


def records(files: Path, name: str) -> list[dict[str, Any]]:
    """Return the records of a file."""
    return MetricsAppender(files).read_metrics(name)


def archived(tmp_path: Path) -> list[str]:
    """Return the names of the archived events, in order."""
    return [record.data["event"] for record in read(tmp_path / "telemetry", signal="events")]


def test_all_five_events_are_records(files: Path, tmp_path: Path) -> None:
    """By `record_*` and by `execution`, with the fields of the event."""
    run(
        files,
        """
        with skills.execution("triage", agent="support") as run:
            run.outcome("urgent", expected="urgent", confidence=0.93, reasoning="größer")
        skills.record_fidelity("triage", patterns_followed=3, patterns_missed=["greets"])
        skills.record_promotion("triage", from_state="prototype", to_state="staged", timestamp=5)
        skills.record_rollback("triage", from_state="staged", to_state="prototype", timestamp=5)
        """,
    )

    (ran,) = records(files, "triage_performance.json")
    (outcome,) = records(files, "triage_outcomes.json")
    (fidelity,) = records(files, "triage_fidelity.json")
    moves = records(files, "triage_promotion_log.json")
    assert (ran["agent"], ran["exception_occurred"]) == ("support", False)
    assert outcome["execution_id"] == ran["execution_id"]
    assert (outcome["correct"], outcome["reasoning"]) == (True, "größer")
    assert (fidelity["pattern_fidelity"], fidelity["patterns_missed"]) == (0.75, ["greets"])
    assert [move["event_id"] for move in moves] == ["promo_triage_5", "rollback_triage_5"]
    assert len(archived(tmp_path)) == 5


def test_a_record_is_what_the_appender_would_have_written(files: Path, tmp_path: Path) -> None:
    """Same bytes, whichever way a service takes."""
    run(
        files,
        """
        skills.record_outcome(
            "triage", decision={"b": [1, None]}, expected_decision="x", correct=False,
            execution_id="e", confidence=0.5, reasoning="r", agent="a", timestamp=1700000000.5,
        )
        """,
    )
    MetricsAppender(tmp_path / "by hand").append_outcome_metric(
        "triage", "e", {"b": [1, None]}, "x", False, 0.5, "r", "a", 1700000000.5
    )

    name = "triage_outcomes.json"
    assert (files / name).read_bytes() == (tmp_path / "by hand" / name).read_bytes()


def test_an_appender_on_the_same_folder_writes_once(files: Path, tmp_path: Path) -> None:
    """The store leaves out what the service wrote to its folder itself, by whichever path."""
    files.mkdir()
    (tmp_path / "link").symlink_to(files)
    run(
        files,
        """
        for folder in (os.environ["OTEL_PYTHON_METRICS_SKILLS_DIR"], "link"):
            appender = skills.MetricsAppender(folder)
            appender.append_performance_metric("triage", "e", 5.0, "a")
        """,
    )

    assert len(records(files, "triage_performance.json")) == 2
    assert archived(tmp_path) == ["skill.performance"] * 2


def test_a_child_of_a_fork_writes_to_the_same_files(files: Path, tmp_path: Path) -> None:
    """Each event of parent and child once, in files and archive."""
    run(
        files,
        """
        skills.record_outcome("triage", decision=1, execution_id="parent")
        pid = os.fork()
        skills.record_outcome("triage", decision=1, execution_id="child" if pid == 0 else "both")
        if pid:
            os.waitpid(pid, 0)
        """,
    )

    found = {record["execution_id"] for record in records(files, "triage_outcomes.json")}
    assert found == {"parent", "child", "both"}
    assert len(archived(tmp_path)) == 3


def test_what_was_recorded_before_a_kill_is_there(files: Path, tmp_path: Path) -> None:
    """A record that returned is in file and archive, whatever comes next."""
    run(
        files,
        """
        for n in range(50):
            skills.record_outcome("triage", decision=n, execution_id=str(n))
        os.kill(os.getpid(), 9)
        """,
        expected=-signal.SIGKILL,
    )

    found = [record["execution_id"] for record in records(files, "triage_outcomes.json")]
    assert found == [str(n) for n in range(50)]
    assert len(archived(tmp_path)) == 50


def test_content_and_secrets_are_ruled_in_files_too(files: Path) -> None:
    """`OTEL_PYTHON_METRICS_EVENT_CONTENT` speaks of what is kept, wherever."""
    run(
        files,
        """
        skills.record_outcome("triage", decision="approve", reasoning="a text about Jane")
        skills.MetricsAppender(os.environ["OTEL_PYTHON_METRICS_SKILLS_DIR"]).append_outcome_metric(
            "triage", "e", "approve", None, True, 0.5, "a text about Jane", "a"
        )
        """,
        OTEL_PYTHON_METRICS_EVENT_CONTENT="redacted",
    )

    for record in records(files, "triage_outcomes.json"):
        assert (record["decision"], record["reasoning"]) == ("[redacted]", "[redacted]")


def test_a_name_that_no_file_has_is_counted_and_archived(files: Path, tmp_path: Path) -> None:
    """One log line says which names there is room for; other skills are written."""
    done = run(
        files,
        """
        for skill in ("x" * 300, "y" * 300, "triage"):
            skills.record_outcome(skill, decision=1)
        verdict = telemetry.flush(5)
        print(verdict.skill_files.ok)
        """,
    )

    assert done.stdout == "True\n"
    assert done.stderr.count("skill_files") == 1
    assert "at most 236 bytes" in done.stderr
    assert [each for each in os.listdir(files) if each[0] != "."] == ["triage_outcomes.json"]
    assert len(archived(tmp_path)) == 3


def test_a_folder_that_cannot_be_is_told_and_taken_up_when_it_can(
    files: Path, tmp_path: Path
) -> None:
    """A file is in its place: verdict, metric and one log line each way; the archive goes on."""
    files.write_text("in the way")
    done = run(
        files,
        """
        for n in range(5):
            skills.record_outcome("triage", decision=n)
        first = telemetry.flush(5).skill_files
        os.unlink(os.environ["OTEL_PYTHON_METRICS_SKILLS_DIR"])
        skills.record_outcome("triage", decision=5)
        second = telemetry.flush(5).skill_files
        print(first.ok, first.reason, second.ok, sep="|")
        telemetry.shutdown()
        """,
    )

    first, reason, second = done.stdout.strip().split("|")
    assert (first, second) == ("False", "True")
    assert reason.startswith(f"5 events were not kept in {files}")
    assert done.stderr.count("skill_files") == 2
    assert [record["decision"] for record in records(files, "triage_outcomes.json")] == [5]
    assert len(archived(tmp_path)) == 6
    metrics = [
        (point.data["value"], point.data["attributes"])
        for point in read(tmp_path / "telemetry", signal="metrics")
        if point.data.get("metric") == "delivery.rejected"
    ]
    assert metrics[-1] == (5, {"exporter": "skill_files", "reason": "NotADirectoryError"})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A full file system of 64 KiB, with a page to spare."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("not run: this kernel or user mounts no tmpfs")
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    os.truncate(folder / "filler", 4096 * 13)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_neither_service_nor_archive(disk: Path, tmp_path: Path) -> None:
    """What the files did not take is counted; what they took is whole, and so is the archive."""
    done = run(
        disk / "skills",
        """
        for n in range(60):
            skills.record_outcome("triage", decision=n, reasoning="r" * 500)
        print(telemetry.flush(5).skill_files.reason.split()[0])
        """,
    )

    lost = int(done.stdout)
    lines = (disk / "skills" / "triage_outcomes.json").read_text().splitlines()
    assert [json.loads(line)["decision"] for line in lines] == list(range(60 - lost))
    assert 0 < lost < 60
    assert len(archived(tmp_path)) == 60


def test_events_of_others_are_left_out(files: Path) -> None:
    """Only those that a file has a form for."""
    SkillFiles(files).take("skill.unheard_of", {"gen_ai.skill.name": "s"}, 5)

    assert os.listdir(files) == []

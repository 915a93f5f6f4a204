"""`otel-metrics skills import`: past records become events, each once, however often."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from otel_exporter_ndjson import read
from otel_metrics.archive.verify import verify
from otel_metrics.cli.main import root
from otel_metrics.skills import MetricsAppender

OLD = (
    '{"execution_id": "old", "timestamp": 1600000000.25, '
    '"timestamp_iso": "2020-09-13T12:26:40.250000", "skill_name": "YouTube Live Chat", '
    '"agent": "a", "decision": "x", "expected_decision": "y", "correct": false, '
    '"confidence": 0.5, "reasoning": "größer", "metric_type": "outcome", "reviewer": "jd"}\n'
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with all kinds of files, of two skills."""
    appender = MetricsAppender(tmp_path / "skills")
    for n in range(20):
        at = 1_700_000_000.5 + n
        appender.append_performance_metric("a/b", f"e{n}", 5.0, "a", timestamp=at)
        appender.append_outcome_metric("a/b", f"e{n}", 1, 1, n % 2 == 0, 0.5, "r", "a", at)
        appender.append_fidelity_metric("a/b", f"e{n}", 0.5, ["p"], 1, None, "a", at)
    appender.append_promotion_event("a/b", "prototype", "staged", "p", "t", "r", {"c": 1}, 1.7e9)
    appender.append_rollback_event("a/b", "staged", "prototype", "r", 0.1, False, 1.7e9)
    (tmp_path / "skills" / "YouTube Live Chat_outcomes.json").write_text(OLD)
    (tmp_path / "skills" / "notes.txt").write_text("not a skill file")
    return tmp_path / "skills"


def imported(files: Path, *options: str) -> Result:
    """Run the command with the archive beside the files."""
    archive = str(files.parent / "archive")
    arguments = ["skills", "import", str(files), "--archive", archive, *options]
    return CliRunner().invoke(root, arguments)


def events(files: Path) -> list[dict[str, Any]]:
    """Return the events that are in the archive."""
    return [record.data for record in read(files.parent / "archive", signal="events")]


def test_each_record_is_an_event_at_its_own_time(files: Path) -> None:
    """With the attributes that the service's call would have given it."""
    done = imported(files, "--service", "shop")

    assert done.exit_code == 0, done.output
    assert Counter(event["event"] for event in events(files)) == {
        "skill.performance": 20,
        "skill.outcome": 21,
        "skill.fidelity": 20,
        "skill.promotion": 1,
        "skill.rollback": 1,
    }
    (old,) = [event for event in events(files) if event["attributes"].get("execution_id") == "old"]
    assert old["time"] == "2020-09-13T12:26:40.250000000Z"
    assert len(old["attributes"].pop("skill.record.id")) == 32
    assert old["attributes"] == {
        "execution_id": "old",
        "gen_ai.skill.name": "YouTube Live Chat",
        "gen_ai.agent.name": "a",
        "decision": "x",
        "expected_decision": "y",
        "correct": False,
        "confidence": 0.5,
        "reasoning": "größer",
        "metadata": {"reviewer": "jd"},
        "skill.outcome": "incorrect",
        "gen_ai.evaluation.name": "skill.outcome",
        "gen_ai.evaluation.score.value": 0.0,
        "gen_ai.evaluation.score.label": "incorrect",
        "gen_ai.evaluation.explanation": "größer",
    }


def test_the_archive_is_whole_and_holds_no_metrics(files: Path) -> None:
    """Counters are not filled backwards."""
    imported(files)

    report = verify(files.parent / "archive")
    assert report.intact
    assert report.complete
    assert list(read(files.parent / "archive", signal="metrics")) == []


def test_what_is_known_is_not_taken_again(files: Path) -> None:
    """Also when lines came and went, and in what is there twice, each counts."""
    with (files / "YouTube Live Chat_outcomes.json").open("a") as file:
        file.write(OLD)
    first = json.loads(imported(files, "--format", "json").output)
    path = files / "a%2Fb_outcomes.json"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[5:]))
    MetricsAppender(files).append_outcome_metric("a/b", "new", 1, 1, True, 0.5, "r", "a")
    second = json.loads(imported(files, "--format", "json").output)

    assert sum(row["imported"] for row in first) == 64
    assert [(row["file"], row["imported"], row["known"]) for row in second] == [
        ("YouTube Live Chat_outcomes.json", 0, 2),
        ("a%2Fb_fidelity.json", 0, 20),
        ("a%2Fb_outcomes.json", 1, 15),
        ("a%2Fb_performance.json", 0, 20),
        ("a%2Fb_promotion_log.json", 0, 2),
    ]
    assert len(events(files)) == 65


def test_bad_lines_are_named_and_the_rest_is_taken(files: Path) -> None:
    """Exit status 3; file, line and what is wrong stand on the error stream."""
    with (files / "a%2Fb_outcomes.json").open("a") as file:
        file.write('{"torn": \n{"no": "time"}\n[]\n{"timestamp": true, "timestamp_iso": "x"}\n')
    done = imported(files)

    assert done.exit_code == 3
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [
        f"{files}/a%2Fb_outcomes.json:{number}" for number in (21, 22, 23, 24)
    ]
    assert len(events(files)) == 63


@pytest.mark.parametrize(
    ("line", "name", "time"),
    [
        ('{"timestamp_iso": "2020-01-01T00:00:00"}', "skill.outcome", "2020-01-01T00:00:00"),
        ('{"timestamp_iso": "2020-01-01T01:00:00+01:00"}', "skill.outcome", "2020-01-01T00:00:00"),
        ('{"timestamp": 5, "metric_type": "fidelity"}', "skill.fidelity", "1970-01-01T00:00:05"),
        ('{"timestamp": 5, "confidence": NaN}', "skill.outcome", "1970-01-01T00:00:05"),
    ],
)
def test_records_of_older_writers_are_taken(
    tmp_path: Path, line: str, name: str, time: str
) -> None:
    """What is missing is left out; the skill is the file's."""
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "100% right_outcomes.json").write_text(line)

    assert imported(tmp_path / "skills").exit_code == 0
    (event,) = events(tmp_path / "skills")
    assert (event["event"], event["time"][:19]) == (name, time)
    assert event["attributes"]["gen_ai.skill.name"] == "100% right"


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    """Exit status 2, and no archive is made; nor of a file."""
    (tmp_path / "file").write_text("")

    for name in ("missing", "file"):
        done = imported(tmp_path / name)
        assert (done.exit_code, done.output.startswith(f"DIR={tmp_path / name}: ")) == (2, True)
    assert not (tmp_path / "archive").exists()


def test_a_folder_without_skill_files_has_nothing_to_take(tmp_path: Path) -> None:
    """Which is done, and said; no archive is made for it."""
    (tmp_path / "empty").mkdir()
    done = imported(tmp_path / "empty")

    assert (done.exit_code, "no skill files" in done.output) == (0, True)
    assert not (tmp_path / "archive").exists()


def test_two_imports_at_once_take_nothing_twice(files: Path) -> None:
    """The second says that the first is under way."""
    (files.parent / "archive").mkdir()
    descriptor = os.open(files.parent / "archive", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    done = imported(files)
    os.close(descriptor)

    assert (done.exit_code, "another import" in done.output) == (1, True)
    assert imported(files).exit_code == 0


def test_an_archive_that_takes_nothing_says_so(files: Path) -> None:
    """Nothing counts as imported, and a second run takes it all."""
    archive = files.parent / "archive"
    archive.mkdir()
    (archive / "events").write_text("in the way")
    done = imported(files)
    (archive / "events").unlink()

    assert done.exit_code == 1
    assert "run it again" in done.output
    assert "63" not in done.output
    assert imported(files).exit_code == 0
    assert len(events(files)) == 63


def test_content_is_ruled_as_in_the_service(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_PYTHON_METRICS_EVENT_CONTENT=none` keeps no reasoning of the past either."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_EVENT_CONTENT", "none")
    imported(files)

    kept = {key for event in events(files) for key in event["attributes"]}
    assert kept.isdisjoint({"reasoning", "decision", "metadata", "automated_checks"})


def test_what_a_name_does_to_a_terminal_is_shown_as_text(tmp_path: Path) -> None:
    """A file's name was written by others."""
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "\x1b[31mred\x1b_outcomes.json").write_text("nonsense\n")
    done = imported(tmp_path / "skills")

    assert "\x1b" not in done.output
    assert "\\u001b[31mred" in done.output


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_every_record_is_there_once(tmp_path: Path) -> None:
    """Over and over, until it comes to its end."""
    files = tmp_path / "skills"
    appender = MetricsAppender(files)
    for n in range(3_000):
        appender.append_outcome_metric("s", f"e{n}", 1, 1, True, 0.5, "r" * 50, "a", 1.7e9 + n)
    command = [sys.executable, "-m", "otel_metrics", "skills", "import", str(files)]
    kills = 0
    for attempt in range(40):
        running = subprocess.Popen(
            [*command, "--archive", str(tmp_path / "archive")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        before = len(list((tmp_path / "archive").glob("events/**/*.ndjson*")))
        until = time.monotonic() + 20
        while running.poll() is None and time.monotonic() < until:
            found = list((tmp_path / "archive").glob("events/**/*.ndjson*"))
            if attempt < 8 and len(found) > before:
                time.sleep(0.01 * attempt)
                running.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        _, said = running.communicate()
        if running.returncode == 0:
            break
        assert running.returncode == -signal.SIGKILL, said
        kills += 1

    ids = [event["attributes"]["execution_id"] for event in events(files)]
    assert kills > 0
    assert Counter(ids) == dict.fromkeys((f"e{n}" for n in range(3_000)), 1)

"""`otel-metrics sovereignty rebuild`: the archive's events, exactly, in place of what was there."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

import otel_metrics
from otel_exporter_ndjson import find_segments
from otel_metrics import sovereignty
from otel_metrics.archive.adding import adding
from otel_metrics.cli.sovereignty import sovereignty as group
from otel_metrics.sovereignty import SovereigntyStore

ROWS = """
SELECT name, number, timestamp, event_type, session_id, metadata_json, events.cost_usd
FROM events LEFT JOIN writers ON writers.id = writer ORDER BY timestamp, number
"""


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(group, ["rebuild", *map(str, arguments)], env=environment)


def asked(path: Path, statement: str) -> list[tuple[object, ...]]:
    """Ask a database as an outsider."""
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive with events and sessions of two services."""
    for service in ("shop", "bank"):
        with adding(tmp_path / "archive", service=service):
            sovereignty.start_session(service, "chess")
            for number in range(20):
                sovereignty.record("api_cost", {"cost_usd": 0.25, "n": number}, session_id=service)
            sovereignty.end_session(service)
    return tmp_path / "archive"


def test_it_makes_what_there_was_not(archive: Path, tmp_path: Path) -> None:
    """And says how much it holds."""
    result = run("--archive", archive, "--db", tmp_path / "data" / "s.db", "--format", "json")

    assert result.exit_code == 0
    [row] = json.loads(result.stdout)
    assert row == {
        "db": str(tmp_path / "data" / "s.db"),
        "events": 40,
        "events_before": None,
        "sessions": 2,
        "old": None,
    }
    assert SovereigntyStore(tmp_path / "data" / "s.db").get_cost_per_hour(3600) == 10.0
    assert sorted(os.listdir(tmp_path / "data"))[0] == "s.db"


def test_one_service_alone(archive: Path, tmp_path: Path) -> None:
    """Where it is named."""
    assert run("--archive", archive, "--db", tmp_path / "s.db", "--service", "bank").exit_code == 0

    assert asked(tmp_path / "s.db", "SELECT DISTINCT session_id FROM events") == [("bank",)]


def test_the_old_one_is_kept_and_the_rows_are_the_same(archive: Path, tmp_path: Path) -> None:
    """Down to the last column, however often it is done."""
    path = tmp_path / "s.db"
    assert run("--archive", archive, "--db", path).exit_code == 0
    events, sessions = asked(path, ROWS), asked(path, "SELECT * FROM sessions ORDER BY 1")

    result = run("--archive", archive, "--db", path, "--format", "json")
    assert asked(path, ROWS) == events
    assert asked(path, "SELECT * FROM sessions ORDER BY 1") == sessions
    [row] = json.loads(result.stdout)
    assert row["events_before"] == 40
    assert asked(Path(row["old"]), ROWS) == events


def test_rows_that_no_archive_has(archive: Path, tmp_path: Path) -> None:
    """Of other programs are taken over; those of this one are named, and stay in the old file."""
    path = tmp_path / "s.db"
    store = SovereigntyStore(path)
    for _ in range(50):
        store.record("api_call")
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO events (timestamp, event_type, session_id, metadata_json)"
            " VALUES (1.0, 'api_call', 'theirs', NULL)"
        )
        connection.execute("INSERT INTO sessions VALUES ('theirs', 'go', 1.0, 2.0)")

    result = run("--archive", archive, "--db", path)
    assert result.exit_code == 0
    assert "not in the archive: 10 events of the old database; see " in result.stderr
    assert asked(path, "SELECT count(*) FROM events") == [(41,)]
    assert asked(path, "SELECT game FROM sessions WHERE session_id = 'theirs'") == [("go",)]


def test_a_damaged_one_is_replaced(archive: Path, tmp_path: Path) -> None:
    """Whatever it was."""
    path = tmp_path / "s.db"
    path.write_bytes(b"\xffno database" * 1000)

    result = run("--archive", archive, "--db", path, "--format", "json")
    assert result.exit_code == 0
    [row] = json.loads(result.stdout)
    assert row["events_before"] is None
    assert Path(row["old"]).read_bytes() == b"\xffno database" * 1000
    assert asked(path, "SELECT count(*) FROM events") == [(40,)]


def test_the_variables_are_asked(archive: Path, tmp_path: Path) -> None:
    """Those that the service has."""
    result = run(
        OTEL_EXPORTER_NDJSON_PATH=str(archive),
        OTEL_PYTHON_METRICS_SOVEREIGNTY_DB=str(tmp_path / "x.db"),
    )

    assert result.exit_code == 0
    assert asked(tmp_path / "x.db", "SELECT count(*) FROM events") == [(40,)]


def test_without_an_archive_nothing_is_touched(tmp_path: Path) -> None:
    """Exit status 1."""
    (tmp_path / "empty").mkdir()
    result = run("--archive", tmp_path / "empty", "--db", tmp_path / "s.db")

    assert result.exit_code == 1
    assert not (tmp_path / "s.db").exists()


def test_an_archive_that_cannot_be_read_to_its_end_replaces_nothing(
    archive: Path, tmp_path: Path
) -> None:
    """Exit status 1, and a message that names the option; such as a copy without its id."""
    assert run("--archive", archive, "--db", tmp_path / "s.db").exit_code == 0
    (archive / ".archive").unlink()
    result = run("--archive", archive, "--db", tmp_path / "s.db")

    assert result.exit_code == 1
    assert f"--archive={archive}: there is no archive yet, or none whose id" in result.stderr
    assert asked(tmp_path / "s.db", "SELECT count(*) FROM events") == [(40,)]


def test_the_database_of_something_else_is_not_touched(archive: Path, tmp_path: Path) -> None:
    """Exit status 2, and a message that names the option."""
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("CREATE TABLE users (name)")
    before = (tmp_path / "x.db").read_bytes()

    result = run("--archive", archive, "--db", tmp_path / "x.db")
    assert result.exit_code == 2
    assert "--db=" in result.stderr
    assert "another program's database" in result.stderr
    assert (tmp_path / "x.db").read_bytes() == before
    assert not any("rebuilding" in name for name in os.listdir(tmp_path))


def test_a_text_is_not_taken_for_a_damaged_database(archive: Path, tmp_path: Path) -> None:
    """Somebody has named the wrong file: it stays as it is."""
    text = tmp_path / "notes.yaml"
    text.write_text("skills:\n  größe: 1\n")
    result = run("--archive", archive, "--db", text)

    assert (result.exit_code, "is a text file" in result.stderr) == (2, True)
    assert text.read_text() == "skills:\n  größe: 1\n"


def test_damage_in_the_archive_is_told(archive: Path, tmp_path: Path) -> None:
    """Exit status 3; the rest is there."""
    segment = find_segments(archive, signal="events", service="bank")[0]
    os.chmod(segment.path, 0o600)
    with open(segment.path, "r+b") as file:
        file.write(b"not what was sealed")

    result = run("--archive", archive, "--db", tmp_path / "s.db")
    assert result.exit_code == 3
    assert asked(tmp_path / "s.db", "SELECT count(*) FROM events WHERE session_id = 'shop'") == [
        (20,)
    ]


@pytest.mark.slow
def test_a_service_at_work_goes_on_with_the_new_file(tmp_path: Path) -> None:
    """And not one of its rows is missing from it."""
    path = tmp_path / "s.db"
    # The global provider has the name that an earlier test gave it, whose events these are not.
    own = MeterProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    telemetry = otel_metrics.configure(
        meter_provider=own,
        metrics_exporter=["ndjson"],
        ndjson_path=tmp_path / "archive",
        sovereignty_db=path,
        host_metrics="off",
    )
    try:
        command = [sys.executable, "-m", "otel_metrics", "sovereignty", "rebuild"]
        command += ["--archive", str(tmp_path / "archive"), "--db", str(path)]
        recorded = 0
        sovereignty.record("api_call")
        for _ in range(3):
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                while process.poll() is None:
                    sovereignty.record("api_call", {"n": recorded})
                    recorded += 1
                    time.sleep(0.001)  # as fast as it goes, the store's queue would be full
                assert process.returncode == 0
        assert telemetry.flush(20)["sovereignty_db"].ok
    finally:
        telemetry.shutdown()

    rows = asked(path, "SELECT metadata_json FROM events")
    assert len(rows) == recorded + 1
    assert len(set(rows)) == recorded + 1


@pytest.mark.slow
def test_a_killed_one_leaves_the_old_file_and_is_cleaned_up(archive: Path, tmp_path: Path) -> None:
    """By the next."""
    path = tmp_path / "s.db"
    assert run("--archive", archive, "--db", path).exit_code == 0
    command = [sys.executable, "-m", "otel_metrics", "sovereignty", "rebuild"]
    command += ["--archive", str(archive), "--db", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not (left := [n for n in os.listdir(tmp_path) if "rebuilding" in n]):
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert left
    assert asked(path, "SELECT count(*) FROM events") == [(40,)]

    assert run("--archive", archive, "--db", path).exit_code == 0
    assert not any("rebuilding" in name for name in os.listdir(tmp_path))

"""`otel-metrics sovereignty report`, over archives and databases that real processes wrote."""

import csv
import importlib
import io
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson import NdjsonLogRecordExporter, find_segments
from otel_metrics import sovereignty as recorder
from otel_metrics.archive.adding import adding
from otel_metrics.cli.sovereignty import sovereignty

T0_S = 1_790_000_040  # 2026-09-21T14:14:00Z
HOUR = 3600
COSTS = {"metadata": {"cost_usd": 0.5}}
SERVICE = """
import otel_metrics
from otel_metrics import sovereignty
telemetry = otel_metrics.configure(
    service_name="agent", metrics_exporter=["ndjson"], ndjson_path="archive", host_metrics="off"
)
sovereignty.start_session("s-1", "chess")
for _ in range(3):
    sovereignty.record("perception_cache_hit", session_id="s-1")
sovereignty.record("perception_vlm_call", {"cost_usd": 0.5, "human": True}, session_id="s-1")
sovereignty.record("narration_llm", {"local": True, "earned_usd": 2}, session_id="s-1")
sovereignty.record("skill_crystallized")
sovereignty.end_session("s-1")
telemetry.shutdown()
"""


def run(*arguments: object) -> Result:
    runner = CliRunner(env={"OTEL_EXPORTER_NDJSON_PATH": ""})
    return runner.invoke(sovereignty, ["report", *map(str, arguments)])


def report(*arguments: object) -> dict[str, Any]:
    """Return the whole report."""
    result = run(*arguments, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that a service wrote just now."""
    folder = tmp_path_factory.mktemp("service")
    subprocess.run([sys.executable, "-c", SERVICE], cwd=folder, check=True)
    return folder / "archive"


def archived(folder: Path, *events: tuple[float, str, Mapping[str, Any]]) -> Path:
    """Write events with attributes at times after `T0_S`, as a service called shop does."""
    exporter = NdjsonLogRecordExporter(folder, compression="none")
    exporter.export([_record(*event) for event in events])
    exporter.shutdown()
    return folder


def _record(at_s: float, name: str, attributes: Mapping[str, Any]) -> ReadableLogRecord:
    time_ns = round((T0_S + at_s) * 10**9)
    return ReadableLogRecord(
        LogRecord(
            timestamp=time_ns,
            observed_timestamp=time_ns,
            event_name=f"sovereignty.{name}",
            attributes=attributes,
        ),
        resource=Resource({"service.name": "shop"}),
        instrumentation_scope=InstrumentationScope("tests"),
    )


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """An archive of five hours: 80 percent of perception in the first, all in the fifth."""
    first = [(at, "perception_cache_hit", {"session.id": "a"}) for at in range(8)]
    first += [(at, "perception_vlm_call", {"session.id": "a"}) for at in (8, 9)]
    later = [(4 * HOUR, "perception_cache_hit", {"session.id": "b"})]
    cost = [(4 * HOUR + 1, "api_cost", {"metadata": {"cost_usd": 1.5}, "session.id": "b"})]
    return archived(tmp_path / "archive", *first, *later, *cost)


def test_the_archive_of_a_service_is_reported(written: Path) -> None:
    """Its layers, cost, session and conditions, and nothing was written to it."""
    before = sorted(written.rglob("*"))
    found = report("--archive", written)
    (hour,), (session,) = found["hours"], found["sessions"]

    assert (found["events"], found["skills_crystallized"], found["cost_usd"]) == (6, 1, 0.5)
    assert (hour["hour"], hour["perception_pct"], hour["decision_pct"]) == (1, 75.0, None)
    assert (hour["target"], hour["verdict"]) == (90.0, "not met")
    assert (session["session"], session["game"], session["vision_calls"]) == ("s-1", "chess", 1)
    assert [each["verdict"] for each in found["graduation"]] == [
        *("cannot be computed", "met", "met", "met", "not met")
    ]
    assert sorted(written.rglob("*")) == before


def test_hours_count_from_the_first_event(two_runs: Path) -> None:
    """Each with its target; those without events are left out."""
    found = report("--archive", two_runs)

    assert [(each["hour"], each["start"], each["perception_pct"]) for each in found["hours"]] == [
        (1, "2026-09-21T14:14:00Z", 80.0),
        (5, "2026-09-21T18:14:00Z", 100.0),
    ]
    assert [(each["target"], each["verdict"]) for each in found["hours"]] == [
        (90.0, "not met"),
        (99.0, "met"),
    ]
    assert [each["reason"] for each in found["targets"]] == [
        "80.0 % of perception in hour 1",
        "no perception was recorded in hour 4",
    ]
    assert found["cost_usd"] == 1.5


def test_a_time_and_a_session_narrow(two_runs: Path) -> None:
    """Hours then count from what is left."""
    since = report("--archive", two_runs, "--since", "2026-09-21T18:00:00Z")
    until = report("--archive", two_runs, "--until", "2026-09-21T18:00:00Z")
    session = report("--archive", two_runs, "--session", "b")

    assert [each["hour"] for each in since["hours"]] == [1]
    assert (since["events"], until["events"], session["events"]) == (2, 10, 2)
    assert [each["session"] for each in session["sessions"]] == ["b"]


def test_a_session_whose_id_looks_like_a_secret_is_found_by_it(tmp_path: Path) -> None:
    """Its hash is kept, and tells it from others."""
    ids = ["sk-aaaaaaaaaaaaaaaaaaaa1", "sk-aaaaaaaaaaaaaaaaaaaa2"]
    with adding(tmp_path, service="agent"):
        for session_id in ids:
            recorder.record("api_call", session_id=session_id)

    assert [report("--archive", tmp_path, "--session", each)["events"] for each in ids] == [1, 1]


def test_every_format_says_the_same(two_runs: Path) -> None:
    """YAML is all of it, as JSON is; CSV has the hours; a table and Markdown are for people."""
    whole = report("--archive", two_runs)
    forms = {
        form: run("--archive", two_runs, "--format", form).stdout
        for form in ("yaml", "csv", "table", "markdown")
    }
    rows = list(csv.DictReader(io.StringIO(forms["csv"])))

    assert yaml.safe_load(forms["yaml"]) == whole
    assert [row["perception_pct"] for row in rows] == ["80.0", "100.0"]
    for form in ("table", "markdown"):
        for expected in ("80.0", "not met", "no perception was recorded in hour 4", "Graduation"):
            assert expected in forms[form]
    assert "| hour | start |" in forms["markdown"]


def test_one_of_something_is_one(tmp_path: Path) -> None:
    """As people say it."""
    metadata = {"metadata": {"human": True}, "session.id": "s-1"}
    table = run("--archive", archived(tmp_path, (0, "decision_llm_call", metadata))).stdout

    assert "\n1 event, " in table
    assert "(0 api_call, 1 call of a model not marked local)" in table
    assert "; 1 minute with a human" in table


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    """The newest hours are shown; JSON has all."""
    folder = archived(tmp_path, *[(at * HOUR, "api_call", {}) for at in range(60)])
    table = run("--archive", folder).stdout

    assert "not shown: 12 before these; --format json is all" in table
    assert len(report("--archive", folder)["hours"]) == 60


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database that has nothing but the two tables."""
    file = tmp_path / "sovereignty.db"
    connection = sqlite3.connect(file)
    connection.executescript(
        "CREATE TABLE events(timestamp REAL, event_type TEXT, session_id TEXT, metadata_json TEXT);"
        "CREATE TABLE sessions(session_id TEXT, game TEXT, start_time REAL, end_time REAL);"
    )
    rows = [
        (T0_S + 5, "perception_cache_hit", "a", None),
        (T0_S + 6, "perception_vlm_call", "a", '{"cost_usd": 0.25}'),
        (T0_S + 7, "narration_template", "a", "no JSON"),
        (T0_S + 8, "unheard_of", "a", "{}"),
        (1e300, "api_call", "a", "{}"),
        ("yesterday", "api_call", "a", "{}"),
        (T0_S + 2 * HOUR, "api_cost", None, '{"cost_usd": 1}'),
    ]
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    connection.execute("INSERT INTO sessions VALUES ('a', 'chess', ?, NULL)", (T0_S,))
    connection.commit()
    connection.close()
    return file


def test_a_database_is_reported(database: Path) -> None:
    """Of any program that keeps the two tables; it is not changed."""
    before = database.read_bytes()
    found = report("--db", database)
    (session,) = found["sessions"]

    assert (found["events"], found["cost_usd"]) == (4, 1.25)
    assert [each["perception_pct"] for each in found["hours"]] == [50.0, None]
    assert (session["game"], session["start"]) == ("chess", "2026-09-21T14:14:00Z")
    assert database.read_bytes() == before


def test_a_time_narrows_a_database(database: Path) -> None:
    """As it does an archive."""
    found = report("--db", database, "--since", "2026-09-21T15:00:00Z")

    assert (found["events"], found["sessions"]) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--archive", "absent"], 2, "--archive=absent: No such file or directory"),
        (["--archive", "empty"], 1, "--archive=empty: is no archive"),
        (["--archive", "quiet"], 1, "quiet: holds no event of sovereignty"),
        (["--archive", "full", "--since", "yesterday"], 2, "yesterday"),
        (["--archive", "full", "--until", "2020-01-01"], 1, "no event of sovereignty is of that"),
        (["--archive", "full", "--service", "shopp"], 1, "did you mean shop?"),
        (["--archive", "full", "--session", "s-2"], 1, "did you mean s-1?"),
        (["--archive", "full", "--out", "picture.gif"], 2, "must end in .png, .svg"),
        (["--archive", "full", "--out", "absent/picture.svg"], 2, "make it first"),
        (["--archive", "full", "--format", "xml"], 2, "--format=xml: is not known"),
        (["--archive", "full", "--db", "x.db"], 2, "two places"),
        (["--db", "x.db", "--service", "shop"], 2, "--service"),
        (["--db", "absent.db"], 2, "--db=absent.db: No such file or directory; give the database"),
        (["--db", "empty"], 2, "--db=empty: Is a directory; give the database"),
        (["--db", "text.db"], 2, "--db=text.db: is no SQLite database; give the database"),
        (["--db", "other.db"], 2, "is no database of sovereignty: no such table: events; give"),
        (["--db", "torn.db"], 1, "--db=torn.db: cannot be read: "),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    status: int,
    message: str,
) -> None:
    """With what to do, and an exit status that tells wrong use from no answer."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.db").write_text("no database " * 100)
    sqlite3.connect(tmp_path / "other.db").close()
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + b"torn " * 1_000)
    archived(tmp_path / "full", (0, "api_call", {"session.id": "s-1"}))
    archived(tmp_path / "quiet", (0, "unheard_of", {}))
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)

    assert result.exit_code == status
    assert message in result.stderr
    assert result.stdout == ""


def test_a_damaged_archive_is_reported_in_part(tmp_path: Path) -> None:
    """What is left is shown, and what is amiss named: exit status 3."""
    folder = archived(tmp_path, *[(at, "api_call", {}) for at in range(20)])
    (segment,) = find_segments(folder)
    file = Path(segment.path)
    file.chmod(0o600)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[5] = b"\x00" * 10 + b"\n"
    file.write_bytes(b"".join(lines))
    result = run("--archive", folder, "--format", "json")

    assert result.exit_code == 3
    assert json.loads(result.stdout)["events"] == 19
    assert segment.path in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_picture_is_drawn_beside(two_runs: Path, ending: str, begins: bytes) -> None:
    """The report is printed all the same."""
    file = two_runs.parent / f"picture.{ending}"
    result = run("--archive", two_runs, "--out", file)

    assert result.exit_code == 0
    assert "Graduation" in result.stdout
    assert file.read_bytes().startswith(begins)


@pytest.mark.slow
def test_a_picture_has_the_layers_and_the_targets(two_runs: Path) -> None:
    """A line for each layer with data, and what it is to reach."""
    file = two_runs.parent / "picture.svg"
    run("--archive", two_runs, "--out", file)
    drawn = file.read_text()

    for expected in ("perception", 'id="target-90"', 'id="target-99"', "USD an hour"):
        assert expected in drawn
    assert "narration" not in drawn


@pytest.mark.slow
def test_a_picture_says_which_cost_is_of_a_part(two_runs: Path, tmp_path: Path) -> None:
    """The events end within the last step, whose bar is lower for that; of whole steps none is."""
    whole = archived(tmp_path / "whole", *[(at * 60, "api_cost", COSTS) for at in range(240)])
    drawn = []
    for folder in (two_runs, whole):
        file = tmp_path / "picture.svg"
        assert run("--archive", folder, "--out", file).exit_code == 0
        drawn.append(file.read_text())

    assert ['id="cost-of-a-part"' in each for each in drawn] == [True, False]
    assert ["part of 5 min" in each for each in drawn] == [True, False]


@pytest.mark.slow
def test_the_targets_are_told_in_the_legend(two_runs: Path, tmp_path: Path) -> None:
    """Those that the events have reached; no line crosses the words there."""
    begun = archived(tmp_path / "begun", (0, "perception_cache_hit", {}))
    drawn = []
    for folder in (two_runs, begun):
        file = tmp_path / "picture.svg"
        run("--archive", folder, "--out", file)
        legend = file.read_text().partition('id="legend_1"')[2]
        drawn.append(re.findall("<!-- (target.*) -->", legend))

    assert drawn == [
        ["target of perception: 90 % from hour 1, 99 % from hour 4"],
        ["target of perception: 90 % from hour 1"],
    ]


@pytest.fixture
def _without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    actual = importlib.import_module

    def missing(name: str, package: str | None = None) -> ModuleType:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return actual(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    yield


@pytest.mark.usefixtures("_without_matplotlib")
def test_without_matplotlib_it_says_what_to_install(two_runs: Path) -> None:
    """And leaves no file."""
    file = two_runs.parent / "picture.svg"
    result = run("--archive", two_runs, "--out", file)

    assert result.exit_code == 2
    assert result.stderr == "matplotlib is not installed; pip install 'otel-metrics[plot]'\n"
    assert not file.exists()


def test_what_others_wrote_drives_no_terminal(tmp_path: Path) -> None:
    """A session's id is shown with its control characters as escapes."""
    folder = archived(tmp_path, (0, "api_call", {"session.id": "\x1b[31mred"}))

    assert "\x1b" not in run("--archive", folder).stdout
    assert "\\u001b[31mred" in run("--archive", folder).stdout

"""`otel-metrics archive query`: what is asked is answered, and what is wrong is said in a line."""

import csv
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
from click.testing import CliRunner, Result

from otel_exporter_ndjson.frames import compress as frame
from otel_metrics.archive.questions import QUESTIONS
from otel_metrics.cli.archive import archive
from tests.otel_metrics.archive.recorded import emit, event, gauge, record, segment_path, total


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(archive, ["query", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with a counter of two series, one at 5 and one at 7."""
    record(tmp_path / "a", [total(5, 10, attributes={"b": "x"})], [total(7, 20.25)])
    return tmp_path / "a"


COUNT = "SELECT metric, sum(increase)::BIGINT AS jobs FROM increments GROUP BY metric"


def test_a_question_is_answered_in_a_table(folder: Path) -> None:
    """For people, unless another form is asked for."""
    result = _run("--archive", folder, COUNT)

    assert (result.output, result.exit_code) == ("METRIC  JOBS\njobs    12\n", 0)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("csv", "metric,jobs\njobs,12\n"),
        ("markdown", "| metric | jobs |\n|---|---|\n| jobs | 12 |\n"),
        ("yaml", '- metric: "jobs"\n  jobs: 12\n'),
        ("json", '[\n  {\n    "metric": "jobs",\n    "jobs": 12\n  }\n]\n'),
    ],
)
def test_the_answer_has_the_form_that_is_asked_for(folder: Path, form: str, expected: str) -> None:
    """The same words as in every command."""
    assert _run("--archive", folder, "--format", form, COUNT).output == expected


def test_json_keeps_nanoseconds_nesting_and_numbers_that_json_has_not(tmp_path: Path) -> None:
    """What Python or JSON would lose."""
    record(tmp_path, [gauge(float("nan"), 0.123456789)])
    sql = "SELECT time, value, attributes, [1, 2] AS list, time FROM metrics"

    answer = json.loads(_run("--archive", tmp_path, "--format", "json", sql).output)

    at = "2026-09-21T14:13:20.123456789Z"
    assert answer == [{"time": at, "value": "NaN", "attributes": {}, "list": [1, 2], "time_1": at}]


def test_what_is_printed_cannot_drive_the_terminal(tmp_path: Path) -> None:
    """Texts in an archive were written by others."""
    emit(tmp_path, event("e", 1, text="\x1b[31m\u202e"))

    output = _run("--archive", tmp_path, "SELECT attr(attributes, 'text') AS t FROM events").output

    assert output == "T\n\\u001b[31m\\u202e\n"


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_the_answer_can_be_a_file(folder: Path, tmp_path: Path, ending: str) -> None:
    """Its ending says of which kind."""
    out = tmp_path / f"it's.{ending}"

    assert _run("--archive", folder, "--out", out, COUNT).exit_code == 0
    assert duckdb.execute("FROM '" + str(out).replace("'", "''") + "'").fetchall() == [("jobs", 12)]
    assert os.listdir(tmp_path) in (["a", out.name], [out.name, "a"])


def test_one_statement_may_end_in_a_semicolon_and_be_a_pivot(folder: Path) -> None:
    """DuckDB itself makes several of a pivot."""
    sql = "PIVOT (SELECT metric, value FROM metrics) ON metric USING sum(value)::INT; -- all"
    other = "SELECT 'é;€' AS text /* ; */ ; -- all; of it"

    assert _run("--archive", folder, "--format", "csv", sql).output == "jobs\n12\n"
    assert _run("--archive", folder, "--format", "csv", other).output == "text\né;€\n"


def test_a_file_without_an_ending_has_the_form_that_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    """A pipe that a shell makes has none."""
    out = tmp_path / "63"

    assert _run("--archive", folder, "--format", "csv", "--out", out, COUNT).exit_code == 0
    assert out.read_text() == "metric,jobs\njobs,12\n"


def test_all_of_a_large_answer_is_written_and_the_first_rows_are_printed(folder: Path) -> None:
    """And it is said that they are not all."""
    result = _run("--archive", folder, "--format", "csv", "FROM range(100001) AS t(n)")

    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert (len(rows), result.exit_code) == (100_001, 3)
    assert "only the first 100,000 rows" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SELECT * FROM metrcs"], "There is no metrcs; did you mean metrics?"),
        (["SELECT valu FROM metrics"], '"value"'),
        (["SELEC 1"], 'syntax error at or near "SELEC"'),
        (["--question", "slowest-skill"], "did you mean slowest-skills?"),
        (["--out", "x.txt", "SELECT 1"], "--out=x.txt: the file must end in .csv, .json, .parquet"),
        (["--out", "no/x.csv", "SELECT 1"], "make it first"),
        ([], "--question list"),
        (["SELECT 1", "--question", "slowest-skills"], "SQL and --question=slowest-skills are two"),
        (["SELECT 1", "--question", "list"], "SQL and --question=list are two"),
        ([""], "the SQL is empty"),
        ([" -- nothing\n;"], "the SQL is empty"),
        (["SELECT 1; SELECT 2"], "2 statements; ask one at a time"),
        (["SELECT 1; SELECT 2", "--out", "x.csv"], "2 statements; ask one at a time"),
        (
            ["SELECT 1", "--out", "x.parquet", "--format", "csv"],
            "--format=csv: --out=x.parquet is another form; leave one of them out",
        ),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    folder: Path, arguments: list[str], said: str
) -> None:
    """With what was meant, where that can be guessed."""
    result = _run("--archive", folder, *arguments)

    assert said in result.stderr
    assert (result.exit_code, result.stdout, "Traceback" in result.stderr) == (2, "", False)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE t AS SELECT 1", "nothing of this is kept: each query begins anew\n"),
        ("SET threads = 1", "nothing of this is kept: each query begins anew\n"),
        ("SELECT 1", ""),
    ],
)
def test_what_lasts_no_longer_than_the_command_is_said(folder: Path, sql: str, said: str) -> None:
    """Somebody may look for the table the next time."""
    result = _run("--archive", folder, sql)

    assert (result.exit_code, result.stderr) == (0, said)


def test_a_line_that_is_told_is_in_the_view_of_damage(tmp_path: Path) -> None:
    """Also where no hash vouches for the segment."""
    record(tmp_path, *[[gauge(at, at)] for at in range(3)])
    path = Path(segment_path(tmp_path))
    path.chmod(0o640)
    path.write_bytes(path.read_bytes().replace(b'"value":1}', b'"value"!1}'))

    result = _run("--archive", tmp_path, "SELECT service, sequence, lines FROM damage")

    assert f"{path}:5: " in result.stderr
    assert result.stdout.splitlines()[1:] == ["shop     1         1"]


def test_the_questions_are_listed(folder: Path) -> None:
    """With what each is about."""
    output = _run("--question", "list", "--format", "json").output

    assert [row["question"] for row in json.loads(output)] == list(QUESTIONS)


def test_the_sql_of_a_question_is_shown(folder: Path) -> None:
    """To be changed by hand; nothing is asked."""
    shown = _run("--question", "outcome-trend", "--show-sql").output

    assert shown == QUESTIONS["outcome-trend"].sql


def test_a_folder_that_is_no_archive_is_said(tmp_path: Path) -> None:
    """As in every command."""
    assert _run("--archive", tmp_path, "SELECT 1").exit_code == 1


def test_a_service_that_is_not_there_is_said(folder: Path) -> None:
    """With the ones that are."""
    assert "did you mean shop?" in _run("--archive", folder, "--service", "shp", COUNT).stderr


def test_damage_is_told_and_the_rest_is_answered(tmp_path: Path) -> None:
    """Also where every hash holds: recovery seals what it finds."""
    record(tmp_path, *[[gauge(at, at)] for at in range(3)])
    path = Path(segment_path(tmp_path))
    data = path.read_bytes().replace(b'"value":1}', b'"value":\x00}')
    Path(f"{path}.zst").write_bytes(b"".join(frame([data], len(data))))
    path.unlink()

    result = _run("--archive", tmp_path, "SELECT sum(value)::INT AS s FROM metrics")

    assert (result.stdout, result.exit_code) == ("S\n2\n", 3)
    assert f"{path}.zst:5: " in result.stderr


def test_without_duckdb_it_is_said_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra."""
    importing = importlib.import_module

    def missing(name: str, package: str | None = None) -> ModuleType:
        if name == "duckdb":
            raise ImportError(name)
        return importing(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    result = _run("--archive", folder, "SELECT 1")

    assert (result.exit_code, result.stderr) == (
        *(2, "duckdb is not installed; pip install 'otel-metrics[query]'\n"),
    )


@pytest.mark.slow
def test_an_interrupt_ends_a_long_question(folder: Path) -> None:
    """With the status that shells expect."""
    sql = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"
    command = [
        sys.executable,
        "-m",
        "otel_metrics",
        "archive",
        "query",
        "--archive",
        str(folder),
        sql,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while _used_s(process.pid) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert (process.returncode, said) == (130, "")


def _used_s(pid: int) -> float:
    """Return the processor time of a process: more than a start takes is the question's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")

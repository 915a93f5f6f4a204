"""`otel-metrics executions`: what each command prints, and how it ends when something is wrong."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from otel_exporter_ndjson import read
from otel_metrics.cli.executions import executions
from otel_metrics.executions import ExecutionFiles


def run(*arguments: object, text: str | bytes = "", **variables: str) -> Result:
    return CliRunner(env=variables).invoke(executions, [*map(str, arguments)], input=text)


def recorded(agent: str = "reviewer", count: int = 1, **given: Any) -> None:
    files = ExecutionFiles(".")
    for _ in range(count):
        assert files.append(agent, **{"success": True, **given})
    files.close()


def file_of(agent: str) -> Path:
    return Path(".kaizen/metrics") / agent / "executions.jsonl"


def test_a_run_is_recorded_and_told() -> None:
    """With what the agent's runs come to; nothing but the project's files is written."""
    first = run("record", "reviewer", "--success", "--time", 2, "--quality", 1)
    second = run("record", "reviewer", "--failure")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == "reviewer: recorded; 1 execution, success rate 1.000\n"
    assert second.stdout == "reviewer: recorded; 2 executions, success rate 0.500\n"
    assert [path.name for path in Path().iterdir()] == [".kaizen"]


@pytest.mark.parametrize(
    ("arguments", "text", "told"),
    [
        ([], "", "--success, --failure: are missing; give one of them"),
        (
            ["--success", "--failure"],
            "",
            "--success, --failure: are given together",
        ),
        (["--success", "--time", "-1"], "", "--time=-1: is below 0; give seconds, a number from 0"),
        (["--success", "--time", "nan"], "", "--time=nan: is no finite number; give seconds"),
        (["--success", "--time", "soon"], "", "--time=soon: is no number; give seconds"),
        (
            ["--success", "--quality", "90"],
            "",
            "--quality=90: is above 1; give a share from 0",
        ),
        (["--success", "--idempotency-key", ""], "", "--idempotency-key='': is no text, or empty"),
        (["--json", "x.json"], "", "--json=x.json: is no JSON object; give one, or - and it on"),
        (["--json", "-"], "", "--json=-: is empty; give a record such as"),
        (["--json", "-"], "{", "--json=-: is no JSON: Expecting property name"),
        (["--json", "-"], "[]", "--json=-: is no object"),
        (["--json", "-"], '{"success": true} {}', "Extra data at line 1, column 19; give one"),
        (["--json", "-"], '{"success": NaN}', "--json=-: holds NaN, which JSON does not know"),
        (["--json", "-"], '{"success": 1}', "--json=-: success=1: is neither true nor false"),
        (["--json", "-"], '{"success": true, "success": false}', "says success twice"),
        (["--json", "-"], '{"sucess": true}', "--json=-: sucess: is no field of a record; did you"),
        (["--json", '{"sucess": true}'], "", "did you mean success? known are timestamp, agent, "),
        (["--json", "-", "--success"], '{"x": 1}', "--json=-: x: is no field of a record; known"),
        (["--json", "-"], '{"success": true, "quality_score": 90}', "quality_score=90: is above 1"),
        (["--json", "{"], "", "--json: is no JSON: Expecting property name"),
        (["--json", "-", "--success"], '{"success": false}', "says success=false, and --success"),
        (["--json", "-", "--time", "2"], '{"success": true, "execution_time_s": 3}', "and --time"),
        (["--json", "-"], '{"success": true, "agent": "other"}', 'says agent="other", and AGENT'),
        (
            ["--json", "-"],
            '{"success": true, "timestamp": "now"}',
            "--json=-: timestamp='now': ",
        ),
        (["--json", "-"], "[" * 100_000, "--json=-: is nested too deep"),
        (["--json", "-"], b'{"success": "\xff"}', "--json=-: is no UTF-8 at byte 14"),
        (["--json", "-"], '"' + "x" * 2**20, "--json=-: is longer than 1,048,576 bytes"),
        (["--success", "--project", "nowhere"], "", "--project=nowhere: is no folder; make it"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_written(
    arguments: list[str], text: str | bytes, told: str
) -> None:
    """Status 2, and what to do."""
    result = run("record", "reviewer", *arguments, text=text)

    assert result.exit_code == 2
    assert told in result.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("agent", "told"),
    [("", "AGENT='': is empty"), ("a" * 256, "takes 256"), ("a\0", "holds NUL")],
)
def test_a_name_that_no_folder_can_have_is_refused(agent: str, told: str) -> None:
    """Status 2."""
    result = run("record", agent, "--success")

    assert (result.exit_code, told in result.stderr) == (2, True)


def test_a_record_comes_from_standard_input() -> None:
    """Whole, its time included; an option may repeat what it says."""
    given = {
        "timestamp": "2026-01-31T08:00:00Z",
        "agent": "reviewer",
        "success": True,
        "execution_time_s": 3,
        "primary_metric": {"name": "coverage", "value": 1},
    }
    result = run("record", "reviewer", "--success", "--json", "-", text=json.dumps(given))

    assert result.exit_code == 0
    assert [json.loads(line) for line in file_of("reviewer").read_text().splitlines()] == [
        {**given, "primary_metric": {"name": "coverage", "value": 1, "target": None}}
    ]


def test_a_record_may_stand_in_the_option_itself() -> None:
    """For a script that has it at hand."""
    result = run("record", "reviewer", "--json", '{"success": false, "session_id": "s-1"}')

    assert result.exit_code == 0
    assert json.loads(file_of("reviewer").read_text())["session_id"] == "s-1"


def test_a_disk_that_refuses_is_no() -> None:
    """Status 1, with the reason."""
    Path(".kaizen").write_text("in the way")
    result = run("record", "reviewer", "--success")

    assert result.exit_code == 1
    assert "reviewer: not recorded: " in result.stderr
    assert "Not a directory" in result.stderr


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("NATS_URL", "http://u:hunter22@n", "NATS_URL=http://***@n: http:// is not spoken here"),
        ("NATS_CREDS", "nowhere.creds", "NATS_CREDS=nowhere.creds: No such file or directory"),
        ("NATS_CREDS", "open.creds", "NATS_CREDS=open.creds: others may read or change it"),
    ],
)
def test_a_broker_that_is_set_wrong_is_told(variable: str, value: str, told: str) -> None:
    """The run is recorded with status 0, and its event waits; publish ends with 2."""
    Path("open.creds").touch(0o644)
    result = run("record", "reviewer", "--success", "--emit-event", **{variable: value})
    published = run("publish", **{variable: value})

    assert (result.exit_code, published.exit_code) == (0, 2)
    assert told in result.stderr
    assert told in published.stderr
    assert "hunter22" not in result.output + published.output
    assert file_of("reviewer").with_name("outbox.jsonl").exists()


def test_publish_says_when_the_broker_is_down() -> None:
    """Status 1, with how many wait; with nothing to send it is not asked."""
    nothing = run("publish", NATS_URL="nats://127.0.0.1:1")
    recorded(announce=True, count=2)
    result = run("publish", NATS_URL="nats://127.0.0.1:1")

    assert (nothing.exit_code, nothing.stdout) == (0, "no event waits\n")
    assert result.exit_code == 1
    assert result.stderr == "nats://127.0.0.1:1: Connection refused; waiting: 2 events\n"


def test_show_gives_the_figures() -> None:
    """As a table for people, and as JSON what summary.json holds."""
    recorded(execution_time_s=1234.5678, quality_score=0.9, timestamp=1_769_846_400)
    table, exact = run("show", "reviewer"), run("show", "reviewer", "--format", "json")
    kept = json.loads(file_of("reviewer").with_name("summary.json").read_text())

    assert table.stdout.splitlines() == [
        "agent           reviewer",
        "executions      1",
        "success_rate    1.000",
        "quality         0.900",
        "time_s          1,234.568",
        "last_execution  2026-01-31T08:00:00Z",
        "success_trend   stable",
        "quality_trend   stable",
    ]
    assert json.loads(exact.stdout) == kept


def test_show_puts_a_summary_right_that_was_edited() -> None:
    """The next reader finds the truth."""
    recorded()
    path = file_of("reviewer").with_name("summary.json")
    path.write_text('{"execution_count": 99}')
    result = run("show", "reviewer")

    assert "executions      1" in result.stdout
    assert json.loads(path.read_text())["execution_count"] == 1


@pytest.mark.parametrize("command", ["show", "export", "prune"])
def test_an_agent_that_there_is_not_is_no(command: str) -> None:
    """Status 1, with what may have been meant."""
    recorded("reviewer")
    result = run(command, "reviewr")

    assert result.exit_code == 1
    assert result.stderr == "reviewr: has no executions here; did you mean reviewer?\n"


def test_list_has_every_agent() -> None:
    """Names are printed so that they drive no terminal."""
    recorded("reviewer")
    recorded("../../etc", success=False)
    recorded("\x1b[31mred")
    table, rows = run("list"), run("list", "--format", "json")

    assert table.exit_code == 0
    assert "\x1b" not in table.output + rows.output
    assert [(row["agent"], row["success_rate"]) for row in json.loads(rows.stdout)] == [
        ("\x1b[31mred", 1.0),
        ("../../etc", 0.0),
        ("reviewer", 1.0),
    ]
    assert run("list", "--project", "/").stdout == ""


def test_export_gives_the_records_as_they_are() -> None:
    """One a line, of the agents and the time that are asked for."""
    recorded("a", timestamp=1_769_846_400, metadata={"x": [1]})
    recorded("a", timestamp=1_769_846_460)
    recorded("b", timestamp=1_769_846_400)
    everything = run("export")
    window = run("export", "a", "--since", "2026-01-31T08:00:30Z", "--until", "2026-02-01")

    assert everything.stdout == file_of("a").read_text() + file_of("b").read_text()
    assert window.stdout == file_of("a").read_text().splitlines(keepends=True)[1]
    nothing = run("export", "--until", "2000-01-01")
    assert (nothing.stdout, nothing.exit_code) == ("", 0)
    assert "nothing is of that time" in nothing.stderr


def test_export_knows_other_forms() -> None:
    """Data is JSON in a cell; a file has its name when it is whole."""
    recorded("a", timestamp=1_769_846_400, metadata={"x": [1]}, quality_score=0.5)
    written = run("export", "--format", "csv", "--out", "runs.csv")
    (row,) = csv.DictReader(io.StringIO(Path("runs.csv").read_text()))
    whole = json.loads(run("export", "--format", "json").stdout)

    assert written.stdout == "1 record written to runs.csv\n"
    assert row["metadata"] == '{"x": [1]}'
    assert row["quality_score"] == "0.5"
    assert whole == [json.loads(file_of("a").read_text())]
    for form in ("markdown", "table", "yaml"):
        assert '"x": [1]' in run("export", "--format", form).stdout


@pytest.mark.parametrize(
    ("out", "form"),
    [
        ("r.csv", "csv"),
        ("r.json", "json"),
        ("r.YAML", "yaml"),
        ("r.md", "markdown"),
        ("r", "jsonl"),
    ],
)
def test_the_ending_of_a_file_says_its_form(out: str, form: str) -> None:
    """One without an ending has the records as the files have them."""
    recorded("a")
    result = run("export", "--out", out)

    assert (result.exit_code, result.stdout) == (0, f"1 record written to {out}\n")
    assert Path(out).read_text() == run("export", "--format", form).stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "r.parquet"], "--out=r.parquet: ends in none of .jsonl, .ndjson, .json, .csv"),
        (["--out", "r.csv", "--format", "json"], "--format=json: --out=r.csv is another form"),
    ],
)
def test_a_file_that_ends_otherwise_is_refused(arguments: list[str], told: str) -> None:
    """Status 2, and nothing is written."""
    recorded("a")
    result = run("export", *arguments)

    assert (result.exit_code, told in result.stderr) == (2, True)
    assert [path.name for path in Path().iterdir()] == [".kaizen"]


@pytest.mark.parametrize("command", ["list", "export", "prune"])
def test_a_project_without_executions_is_no_error(command: str) -> None:
    """A line says so, with status 0."""
    result = run(command)

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{Path().resolve()}: no agent has executions here\n"


def test_export_to_a_folder_is_refused() -> None:
    """Status 2."""
    recorded()
    result = run("export", "--out", ".")

    assert (result.exit_code, "is a folder" in result.stderr) == (2, True)


def test_lines_that_are_no_records_are_told() -> None:
    """Export ends with 3 and names each; show says how many."""
    recorded()
    with file_of("reviewer").open("a") as file:
        file.write("not json\n[]\n")
    exported, shown = run("export"), run("show", "reviewer")

    assert exported.exit_code == 3
    assert "reviewer: line 2 of executions.jsonl is skipped" in exported.stderr
    assert "reviewer: line 3 of executions.jsonl is skipped: no JSON object" in exported.stderr
    assert shown.exit_code == 0
    assert "reviewer: 2 lines of executions.jsonl are no records" in shown.stderr


def test_prune_removes_what_is_older() -> None:
    """180 days where nothing is said; a dry run removes nothing."""
    recorded(timestamp=time.time() - 181 * 86_400)
    recorded(timestamp=time.time() - 179 * 86_400)
    dry = run("prune", "--dry-run", "--format", "json")
    before = file_of("reviewer").read_text()
    result = run("prune", "--format", "json")
    again = run("prune", "--older-than", "1d", "--format", "json")

    assert json.loads(dry.stdout) == [{"agent": "reviewer", "removed": 1, "left": 1}]
    assert json.loads(result.stdout) == json.loads(dry.stdout)
    assert before.count("\n") == 2
    assert json.loads(again.stdout) == [{"agent": "reviewer", "removed": 1, "left": 0}]
    assert file_of("reviewer").read_text() == ""
    assert "executions      0" in run("show", "reviewer").stdout


@pytest.mark.parametrize(
    ("age", "told"),
    [
        ("30", "--older-than=30: has no unit; give 30d or 30h"),
        ("x", "--older-than=x: is no time; give"),
    ],
)
def test_an_age_that_is_none_is_refused(age: str, told: str) -> None:
    """Status 2."""
    result = run("prune", "--older-than", age)

    assert (result.exit_code, told in result.stderr) == (2, True)


def test_the_project_comes_from_the_variable(tmp_path: Path) -> None:
    """And an option wins over it."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = {"OTEL_PYTHON_METRICS_EXECUTIONS_DIR": str(tmp_path / "one")}
    run("record", "reviewer", "--success", **one)
    run("record", "builder", "--success", "--project", tmp_path / "two", **one)
    missing = run("list", OTEL_PYTHON_METRICS_EXECUTIONS_DIR="nowhere")

    assert ExecutionFiles(tmp_path / "one").agents() == ["reviewer"]
    assert ExecutionFiles(tmp_path / "two").agents() == ["builder"]
    assert "OTEL_PYTHON_METRICS_EXECUTIONS_DIR=nowhere: is no folder" in missing.stderr


@pytest.mark.slow
def test_telemetry_goes_where_the_environment_names_it(tmp_path: Path) -> None:
    """The event and the count are in the archive; the record is in the files once."""
    result = run(
        *("record", "reviewer", "--success", "--time", 2),
        OTEL_EXPORTER_NDJSON_PATH=str(tmp_path / "archive"),
        OTEL_PYTHON_METRICS_EXECUTIONS_DIR=str(tmp_path),
    )
    kept = [record.data for record in read(tmp_path / "archive")]

    assert result.exit_code == 0
    assert [each["attributes"]["execution_time_s"] for each in kept if each.get("event")] == [2.0]
    assert [each["value"] for each in kept if each.get("metric") == "agent.executions"][-1] == 1
    assert len(file_of("reviewer").read_text().splitlines()) == 1


@pytest.mark.slow
def test_telemetry_that_does_not_arrive_fails_no_record(tmp_path: Path) -> None:
    """A warning, and status 0."""
    result = run(
        *("record", "reviewer", "--success"),
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )

    assert result.exit_code == 0
    assert "otlp: " in result.stderr
    assert "the execution is in the files" in result.stderr
    assert not (tmp_path / "telemetry").exists()

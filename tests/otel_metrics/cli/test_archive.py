"""`otel-metrics archive ls` and `cat`, over archives that the exporters wrote."""

import dataclasses
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter
from otel_metrics.cli.archive import archive

HOUR_NS = 3600 * 10**9
RESOURCE = Resource({"service.name": "shop"})


def run(*arguments: object) -> Result:
    return CliRunner().invoke(archive, [str(argument) for argument in arguments])


def event(name: str, age_ns: int = 0, body: str | None = None) -> ReadableLogRecord:
    record = LogRecord(timestamp=time.time_ns() - age_ns, event_name=name, body=body)
    return ReadableLogRecord(
        record, resource=RESOURCE, instrumentation_scope=InstrumentationScope("tests")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with a metric segment of two points and an event segment of three events."""
    path = tmp_path / "archive"
    metrics = NdjsonMetricExporter(path, compression="none")
    provider = MeterProvider([PeriodicExportingMetricReader(metrics, 3_600_000)], RESOURCE)
    meter = provider.get_meter("tests")
    meter.create_counter("orders", unit="1").add(3)
    meter.create_histogram("order.duration", unit="s").record(0.5)
    provider.shutdown()
    events = NdjsonLogRecordExporter(path, compression="none")
    events.export([event("order.placed", 3 * HOUR_NS), event("order.placed"), event("order.lost")])
    events.shutdown()
    return path


def names(result: Result) -> list[str]:
    lines: Sequence[dict[str, Any]] = [json.loads(line) for line in result.stdout.splitlines()]
    return [line.get("metric") or line["event"] for line in lines]


def test_ls_shows_every_segment(folder: Path) -> None:
    """Each segment with its records, state and size, as JSON for programs."""
    result = run("ls", "--archive", folder, "--format", "json")
    rows = json.loads(result.stdout)

    assert result.exit_code == 0
    assert [(row["signal"], row["service"], row["records"], row["state"]) for row in rows] == [
        ("metrics", "shop", 2, "sealed"),
        ("events", "shop", 3, "sealed"),
    ]
    assert all(row["bytes"] == Path(row["path"]).stat().st_size for row in rows)


def test_ls_shows_a_table_to_people(folder: Path) -> None:
    """A heading, one line a segment with times to the second, and the sums."""
    result = run("ls", "--archive", folder)
    rows = json.loads(run("ls", "--archive", folder, "--format", "json").stdout)
    heading, *lines, sums = result.stdout.splitlines()

    assert heading.lower().split() == list(rows[0])[:8]
    assert [line.split()[:7] for line in lines] == [
        [
            row["signal"],
            "shop",
            f"{row['instance'][:8]}-1",
            "sealed",
            str(row["records"]),
            row["first"][:10],
            row["first"][11:19],
        ]
        for row in rows
    ]
    assert sums.split()[:4] == ["in", "all", "2", "5"]
    assert all(line.rstrip().endswith(" KiB") for line in [*lines, sums])


def test_ls_fits_on_a_screen(tmp_path: Path) -> None:
    """The demo's archive in 100 columns, and Markdown and JSON with all there is."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none", service="otel-metrics-demo")
    record = event("order.placed", body="x" * 100_000)
    named = Resource({"service.name": "otel-metrics-demo"})
    exporter.export([dataclasses.replace(record, resource=named)])
    exporter.shutdown()
    (path,) = tmp_path.rglob("*.ndjson")

    assert max(map(len, run("ls", "--archive", tmp_path).stdout.splitlines())) <= 97
    for form in ("json", "markdown", "csv", "yaml"):
        assert path.name in run("ls", "--archive", tmp_path, "--format", form).stdout


def test_ls_leaves_out_what_is_not_of_that_time(folder: Path) -> None:
    """Segments whose records are all older or younger are not listed."""
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    late = run("ls", "--archive", folder, "--since", future, "--format", "json")
    early = run("ls", "--archive", folder, "--until", "2h", "--format", "json")

    assert json.loads(late.stdout) == []
    assert [row["signal"] for row in json.loads(early.stdout)] == ["events"]


def test_ls_tells_open_from_sealed(tmp_path: Path) -> None:
    """While its writer lives a segment is open, and compressed once it was left and squeezed."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event("order.placed")])
    before = json.loads(run("ls", "--archive", tmp_path, "--format", "json").stdout)
    exporter.shutdown()
    after = json.loads(run("ls", "--archive", tmp_path, "--format", "json").stdout)

    assert [row["state"] for row in before + after] == ["open", "sealed"]


def test_cat_prints_the_lines_of_the_archive_when_piped(folder: Path) -> None:
    """Not on a terminal: every record's line, byte for byte, nothing else."""
    result = run("cat", "--archive", folder)
    written = b"".join(path.read_bytes() for path in folder.rglob("*.ndjson"))

    assert result.exit_code == 0
    assert names(result) == [
        "orders",
        "order.duration",
        "order.placed",
        "order.placed",
        "order.lost",
    ]
    assert all(line in written for line in result.stdout_bytes.splitlines(keepends=True))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--metric", "orders"], ["orders"]),
        (["--metric", "order*"], ["orders", "order.duration"]),
        (["--event", "order.lost"], ["order.lost"]),
        (["--event", "order.lost", "--metric", "orders"], ["orders", "order.lost"]),
        (["--event", "order.*", "--since", "1h"], ["order.placed", "order.lost"]),
        (["--event", "order.*", "--until", "1h"], ["order.placed"]),
        (["--service", "other"], []),
        (["--metric", "nothing"], []),
    ],
)
def test_cat_filters(folder: Path, filters: list[str], expected: list[str]) -> None:
    """By name of metric or event, service and time."""
    assert names(run("cat", "--archive", folder, *filters)) == expected


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "yaml"])
def test_cat_has_every_form(folder: Path, form: str) -> None:
    """Every form shows name and value."""
    result = run("cat", "--archive", folder, "--metric", "orders", "--format", form)

    assert result.exit_code == 0
    assert "orders" in result.stdout
    assert "3" in result.stdout


def test_what_others_wrote_cannot_drive_the_terminal(tmp_path: Path) -> None:
    """Escape sequences and direction marks are shown, not sent; in JSON they keep their meaning."""
    evil = "\x1b]0;owned\x07\u202etxt\x85"
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event("order.placed", body=evil)])
    exporter.shutdown()
    shown = run("cat", "--archive", tmp_path, "--format", "table").stdout
    lines = run("cat", "--archive", tmp_path, "--format", "json").stdout

    assert "\\u001b]0;owned\\u0007\\u202etxt\\u0085" in shown
    assert not set(evil[:1] + "\x07\u202e\x85") & set(shown + lines)
    assert json.loads(lines)["body"] == evil


def test_damage_is_told_and_the_rest_is_printed(folder: Path) -> None:
    """A garbled line: what is around it is printed, the place is named, and the status is 3."""
    (path,) = (folder / "events").rglob("*.ndjson")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b"\x00" * (len(lines[3]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    cat = run("cat", "--archive", folder, "--event", "*")

    assert cat.exit_code == 3
    assert names(cat) == ["order.placed", "order.lost"]
    assert f"{path.name}:4:" in cat.stderr


def test_ls_tells_what_cannot_be_read(folder: Path) -> None:
    """A compressed segment that is none: it is damaged, the others are listed, the status is 3."""
    (path,) = (folder / "events").rglob("*.ndjson")
    path.rename(f"{path}.zst")
    result = run("ls", "--archive", folder, "--format", "json")

    assert result.exit_code == 3
    assert f"{path.name}.zst: no whole zstd frame" in result.stderr
    assert [row["state"] for row in json.loads(result.stdout)] == ["sealed", "damaged"]


def test_cat_tells_what_does_not_match_its_seal(folder: Path) -> None:
    """An edited number: all is printed, the segment is named, the status is 3; `ls` stays cheap."""
    (path,) = (folder / "metrics").rglob("*.ndjson")
    path.write_bytes(path.read_bytes().replace(b'"value":3', b'"value":4'))
    cat = run("cat", "--archive", folder)
    listed = run("ls", "--archive", folder)

    assert (cat.exit_code, len(names(cat))) == (3, 5)
    assert cat.stderr == f"{path}: does not match its seal: it was changed after it was sealed\n"
    assert listed.exit_code == 0


@pytest.mark.parametrize("command", ["ls", "cat"])
def test_no_folder_is_wrong_use(tmp_path: Path, command: str) -> None:
    """The status is 2, with the folder and what to give."""
    result = run(command, "--archive", tmp_path / "none")

    assert result.exit_code == 2
    assert result.stderr == (
        f"--archive={tmp_path}/none: No such file or directory; "
        "give the folder that a service writes to\n"
    )


@pytest.mark.parametrize("command", ["ls", "cat"])
def test_a_folder_that_is_no_archive_is_a_no(tmp_path: Path, command: str) -> None:
    """The status is 1, and nothing is printed that could be taken for an empty archive."""
    result = run(command, "--archive", tmp_path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"--archive={tmp_path}: is no archive, it has no file .archive; "
        "give the folder that a service writes to\n"
    )


@pytest.mark.parametrize("command", ["ls", "cat"])
def test_a_wrong_variable_is_called_by_its_name(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gave no --archive is not told of one."""
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_PATH", str(tmp_path))

    assert run(command).stderr.startswith(f"OTEL_EXPORTER_NDJSON_PATH={tmp_path}: is no archive")


@pytest.mark.parametrize("command", ["ls", "cat"])
def test_an_empty_archive_is_an_archive(tmp_path: Path, command: str) -> None:
    """A service that recorded nothing yet is no mistake."""
    (tmp_path / ".archive").write_text("0" * 32)

    assert run(command, "--archive", tmp_path).exit_code == 0


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (["--metric", "order"], "--metric=order: nothing matches; did you mean orders?"),
        (
            ["--metric", "orders_total"],
            "--metric=orders_total: nothing matches; did you mean orders?",
        ),
        (
            ["--metric", "order_duration_seconds_bucket"],
            "--metric=order_duration_seconds_bucket: nothing matches; did you mean order.duration?",
        ),
        (
            ["--metric", "skill_executions_total"],
            "--metric=skill_executions_total: nothing matches; did you mean skill.executions?",
        ),
        (
            ["--metric", "xyz*"],
            "--metric=xyz*: nothing matches; there is order.duration, orders",
        ),
        (
            ["--event", "order.plced"],
            "--event=order.plced: nothing matches; did you mean order.placed?",
        ),
        (["--service", "shp"], "--service=shp: nothing matches; did you mean shop?"),
        (
            ["--since", "2099-01-01"],
            "--since, --until: nothing is of that time; archive ls shows what there is",
        ),
    ],
)
def test_a_filter_that_matches_nothing_says_so(folder: Path, filters: list[str], told: str) -> None:
    """One line with what was meant, nothing on standard output, and status 0."""
    result = run("cat", "--archive", folder, *filters)

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{told}\n")


def test_what_matches_is_not_told(folder: Path) -> None:
    """Nothing on standard error where each filter named something."""
    assert run("cat", "--archive", folder, "--metric", "ord*", "--service", "shop").stderr == ""


def test_a_bad_time_is_wrong_use(folder: Path) -> None:
    """The status is 2, and the message says what is accepted."""
    result = run("cat", "--archive", folder, "--since", "yesterday")

    assert result.exit_code == 2
    assert "2026-01-31T08:00:00Z and 2h" in result.stderr


def test_the_variable_names_the_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --archive it is OTEL_EXPORTER_NDJSON_PATH."""
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_PATH", str(folder))

    assert len(names(run("cat"))) == 5


def test_a_time_of_which_nothing_is_is_told(folder: Path) -> None:
    """An empty list says why it is empty."""
    result = run("ls", "--archive", folder, "--since", "2001-01-01", "--until", "2001-01-02")

    assert result.exit_code == 0
    assert "nothing is of that time" in result.stderr

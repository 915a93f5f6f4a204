"""`otel-metrics archive export`: files that other tools read, whole or not there."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from otel_metrics.cli.archive import archive
from tests.otel_metrics.archive.everything import of_archive, of_lines, record_everything
from tests.otel_metrics.archive.recorded import (
    T0,
    S,
    emit,
    event,
    record,
    segment_path,
    total,
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(archive, ["export", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with each kind of point and event."""
    record_everything(tmp_path / "a")
    return tmp_path / "a"


def test_otlp_json_holds_every_record(folder: Path, tmp_path: Path) -> None:
    """Of both signals, and the command says how many."""
    result = run("--archive", folder, "--format", "otlp-json", "--out", tmp_path / "o.json")

    assert result.exit_code == 0
    lines = (tmp_path / "o.json").read_text(encoding="utf-8").split("\n")
    assert of_lines(filter(None, lines)) == of_archive(folder)
    assert result.stdout.split()[-3:] == ["2", "30", "0"]


def test_a_selection_is_exported(tmp_path: Path) -> None:
    """Of a signal, a service and a time."""
    record(tmp_path / "a", *([total(n, n)] for n in range(4)))
    record(tmp_path / "a", [total(7, 1)], service="bank")
    emit(tmp_path / "a", event("e", 1))

    words = ["--archive", tmp_path / "a", "--format", "otlp-json", "--out", tmp_path / "o.json"]
    chosen = ["--signal", "metrics", "--service", "shop", "--since", "2026-09-21T14:13:22Z"]
    assert T0 + 2 * S == 1_790_000_002 * S  # that is the time above
    assert run(*words, *chosen).exit_code == 0

    text = (tmp_path / "o.json").read_text()
    assert [f'"asInt":"{value}"' in text for value in (0, 1, 2, 3, 7)] == [
        *(False, False, True, True, False)
    ]
    assert "resourceLogs" not in text


@pytest.mark.parametrize(("signal", "records"), [("metrics", 24), ("events", 6)])
def test_parquet_holds_the_view_of_a_signal(
    folder: Path, tmp_path: Path, signal: str, records: int
) -> None:
    """With its columns, and nanoseconds kept."""
    out = tmp_path / "o.parquet"

    result = run("--archive", folder, "--format", "parquet", "--signal", signal, "--out", out)

    assert result.exit_code == 0
    with duckdb.connect() as db:
        db.execute(f"SELECT count(*), typeof(any_value(time)) FROM '{out}'")
        assert db.fetchall() == [(records, "TIMESTAMP_NS")]


def test_a_parquet_file_is_of_one_signal(folder: Path, tmp_path: Path) -> None:
    """Nothing is left out silently."""
    result = run("--archive", folder, "--format", "parquet", "--out", tmp_path / "o.parquet")

    assert (result.exit_code, result.stderr) == (
        2,
        "--format=parquet: a file holds one signal; give --signal\n",
    )


@pytest.mark.parametrize("words", [["otlp-json"], ["parquet", "--signal", "metrics"]])
def test_a_damaged_archive_is_exported_in_part(tmp_path: Path, words: list[str]) -> None:
    """What holds is there; the damage is told with its place, and the status is 3."""
    record(tmp_path / "a", [total(1, 1)], [total(2, 2)])
    path = segment_path(tmp_path / "a")
    data = Path(path).read_bytes()
    os.chmod(path, 0o640)
    Path(path).write_bytes(data.replace(b'"value":1', b'"value"!1'))

    result = run("--archive", tmp_path / "a", "--out", tmp_path / "o", "--format", *words)

    assert result.exit_code == 3
    assert path in result.stderr
    assert "1" in result.stdout.split()
    assert (tmp_path / "o").exists()


def test_a_file_that_is_there_stays_until_the_new_one_is_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves what was there, and nothing beside it."""
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "o.json"
    out.write_text("old")
    arguments = ["--archive", folder, "--format", "otlp-json", "--out", out]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        failed = run(*arguments)
    assert (failed.exit_code, "No space left on device" in failed.stderr) == (2, True)
    assert [path.read_text() for path in out.parent.iterdir()] == ["old"]

    assert run(*arguments).exit_code == 0
    assert [path.name for path in out.parent.iterdir()] == ["o.json"]


def test_a_folder_that_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    """With what to do."""
    out = tmp_path / "none" / "o.json"

    result = run("--archive", folder, "--format", "otlp-json", "--out", out)

    assert result.exit_code == 2
    assert f"there is no folder {tmp_path / 'none'}; make it first" in result.stderr


def test_a_line_that_a_collector_would_cut_is_told(tmp_path: Path) -> None:
    """With the receiver's setting."""
    emit(tmp_path / "a", event("e", 1, long=[1] * 80_000))

    result = run("--archive", tmp_path / "a", "--format", "otlp-json", "--out", tmp_path / "o")

    assert result.exit_code == 0
    assert "1 lines are longer than 1048576 bytes: raise max_log_size" in result.stderr


def test_a_terminal_sees_progress_and_a_pipe_does_not(folder: Path, tmp_path: Path) -> None:
    """The bar goes to the error stream, so that the answer can be read by a program."""
    words = ["--archive", folder, "--format", "otlp-json", "--out", tmp_path / "o.json"]
    command = [sys.executable, "-m", "otel_metrics", "archive", "export", *map(str, words)]
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm"}

    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environ, check=True)

    assert b"exporting" in os.read(ours, 2**16)
    assert b"exporting" not in done.stdout
    assert run(*words).stderr == ""
    os.close(ours)
    os.close(theirs)

"""`--out` means the same in every archive command: links and pipes stay what they are."""

import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from otel_metrics.cli.archive import archive
from tests.otel_metrics.archive.recorded import record, total

COMMANDS = [
    (["export", "--format", "otlp-json"], "o.json", b'{"resourceMetrics"'),
    (["export", "--format", "parquet", "--signal", "metrics"], "o.parquet", b"PAR1"),
    (["query", "SELECT 1 AS n"], "o.csv", b"n\n1\n"),
    (["plot", "jobs"], "o.png", b"\x89PNG"),
    (["checkpoint"], "o.json", b'{"kind":"checkpoint"'),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of two points."""
    record(tmp_path / "a", [total(5, 0)], [total(7, 10)])
    return tmp_path / "a"


def run(folder: Path, words: list[str], out: Path | str) -> Result:
    return CliRunner().invoke(archive, [*words, "--archive", str(folder), "--out", str(out)])


@pytest.mark.parametrize(("words", "name", "begins"), COMMANDS)
def test_a_pipe_gets_what_is_written(
    folder: Path, tmp_path: Path, words: list[str], name: str, begins: bytes
) -> None:
    """And stays a pipe."""
    pipe = tmp_path / name
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()

    result = run(folder, words, pipe)

    reader.join(timeout=10)
    assert (result.exit_code, pipe.is_fifo()) == (0, True)
    assert got[0].startswith(begins)


@pytest.mark.parametrize(("words", "name", "begins"), COMMANDS)
def test_a_link_is_followed(
    folder: Path, tmp_path: Path, words: list[str], name: str, begins: bytes
) -> None:
    """Its target is replaced, the link stays."""
    (tmp_path / "real").write_text("old")
    link = tmp_path / name
    link.symlink_to("real")

    assert run(folder, words, link).exit_code == 0
    assert link.is_symlink()
    assert (tmp_path / "real").read_bytes().startswith(begins)


@pytest.mark.parametrize(("words", "name"), [command[:2] for command in COMMANDS])
def test_a_folder_is_refused(folder: Path, tmp_path: Path, words: list[str], name: str) -> None:
    """Before any work is done."""
    (tmp_path / name).mkdir()

    result = run(folder, words, tmp_path / name)

    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--out={tmp_path / name}: is a folder; name a file in it" in result.stderr


def test_a_dash_is_standard_output(folder: Path) -> None:
    """What else an export has to say goes to the error stream."""
    result = run(folder, ["export", "--format", "otlp-json"], "-")

    assert result.stdout.startswith('{"resourceMetrics"') and "RECORDS" in result.stderr
    assert run(folder, ["query", "SELECT 1 AS n"], "-").stdout == "N\n1\n"
    assert run(folder, ["checkpoint"], "-").stdout.startswith('{"kind":"checkpoint"')
    assert run(folder, ["plot", "jobs"], "-").stdout.startswith("jobs (job)")

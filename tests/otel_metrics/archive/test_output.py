"""What `--out` names is written whole or not at all, and stays what it is."""

import os
import stat
import threading
from pathlib import Path

import pytest

from otel_metrics.archive.output import STDOUT, OutputError, output


def _write(path: Path | str, text: str) -> None:
    with output(str(path)) as target:
        Path(target).write_text(text)


def test_a_file_is_made_or_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    """Nothing else is left in its folder."""
    path = tmp_path / "f"
    _write(path, "one")
    path.chmod(0o600)
    _write(path, "two")

    assert (path.read_text(), os.listdir(tmp_path)) == ("two", ["f"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_there_stays_when_writing_ends_early(tmp_path: Path) -> None:
    """Half of an answer is none."""
    path = tmp_path / "f"
    path.write_text("old")

    with pytest.raises(KeyError), output(str(path)) as target:
        Path(target).write_text("ha")
        raise KeyError

    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["f"])


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: Path, *, there: bool) -> None:
    """Also to a file that is not there yet."""
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "f", tmp_path / "link"
    if there:
        target.write_text("old")
    link.symlink_to(Path("real") / "f")

    _write(link, "new")

    assert link.is_symlink()
    assert (target.read_text(), os.listdir(target.parent)) == ("new", ["f"])


@pytest.mark.parametrize("linked", [True, False])
def test_a_pipe_is_written_through(tmp_path: Path, *, linked: bool) -> None:
    """And is a pipe afterwards."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()

    _write(link if linked else pipe, "through")

    reader.join(timeout=10)
    assert got == ["through"]
    assert pipe.is_fifo() and sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_descriptor_of_ours_is_written_to_where_it_is(tmp_path: Path) -> None:
    """What a shell appends to loses nothing."""
    log = tmp_path / "log"
    with log.open("w") as file:
        file.write("before ")
        file.flush()
        _write(f"/dev/fd/{file.fileno()}", "after")

    assert (log.read_text(), os.listdir(tmp_path)) == ("before after", ["log"])


def test_a_dash_is_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """As in other tools."""
    _write(STDOUT, "out")

    assert capsysbinary.readouterr().out == b"out"


@pytest.mark.parametrize(
    ("name", "said"), [("", "is a folder"), ("no/f", "make it first"), ("loop", "symbolic links")]
)
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, name: str, said: str) -> None:
    """Before any work is done."""
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(OutputError, match=said), output(str(tmp_path / name)):
        pytest.fail("begun")

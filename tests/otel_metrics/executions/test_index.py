"""The index: as quick as not reading the file, and never another answer than reading it."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_metrics.executions import records
from otel_metrics.executions.index import Index, Known

PLAIN = {"timestamp": "2026-01-31T08:00:00Z", "agent": "a"}


def line(key: str, *, success: bool = True) -> bytes:
    return records.encode({**PLAIN, "success": success, "idempotency_key": key}) + b"\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with three records, of which the index has read all."""
    path = tmp_path / "executions.jsonl"
    path.write_bytes(line("k-1") + line("k-2", success=False) + line("k-3"))
    return path


@pytest.fixture
def index(tmp_path: Path, file: Path) -> Iterator[Index]:
    made = Index(str(tmp_path / ".index.sqlite"))
    made.look("a", str(file))
    yield made
    made.close()


def agreed(index: Index, file: Path, key: str) -> Known:
    """Return what the index knows, which is what reading the file tells."""
    known = index.look("a", str(file), key)
    assert known == Index.read_all(str(file), key)
    return known


def put(file: Path, data: bytes) -> None:
    with file.open("ab") as opened:
        opened.write(data)


def appended(file: Path) -> None:
    put(file, line("k-4") + b"half a li")


def edited_in_place(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"k-1"', b'"k-9"'))


def shortened(file: Path) -> None:
    os.truncate(file, file.stat().st_size - len(line("k-3")))


def replaced(file: Path) -> None:
    other = file.with_suffix(".other")
    other.write_bytes(line("k-1") * 2 + line("k-9") + line("k-4"))
    other.rename(file)


def edited_and_longer(file: Path) -> None:
    file.write_bytes(line("k-0") + file.read_bytes())


def without_its_last_end(file: Path) -> None:
    file.write_bytes(file.read_bytes().rstrip(b"\n"))


def with_lines_that_are_none(file: Path) -> None:
    put(file, b"\n\nnot json\n[1]\n" + line("k-4"))


@pytest.mark.parametrize(
    "change",
    [
        appended,
        edited_in_place,
        shortened,
        replaced,
        edited_and_longer,
        without_its_last_end,
        with_lines_that_are_none,
    ],
)
def test_what_others_did_to_a_file_is_seen(
    index: Index, file: Path, change: Callable[[Path], None]
) -> None:
    """Appended, edited, cut or replaced: count, figures and keys are those of the file."""
    change(file)

    for key in ("k-1", "k-3", "k-4", "k-9", "k-0"):
        agreed(index, file, key)


def test_a_line_is_added_without_reading_the_file(index: Index, file: Path) -> None:
    """And the next look finds it, from another process as well."""
    before = index.look("a", str(file), "k-4")
    put(file, line("k-4"))
    known = index.added("a", str(file), before, line("k-4").rstrip(), "k-4")

    assert known == Index.read_all(str(file), "k-4")
    assert agreed(Index(str(file.with_name(".index.sqlite"))), file, "k-4").has_key


@pytest.mark.parametrize(
    "written",
    [
        line("k-4") + line("k-5"),
        line("k-5") + line("k-4"),
        b"half a li\n" + line("k-4") + line("k-5") + b"half a li",
    ],
)
def test_lines_of_who_asks_for_no_lock_count_beside_an_added_one(
    index: Index, file: Path, written: bytes
) -> None:
    """Written before or behind it while its writer held the lock: count and keys have both."""
    before = index.look("a", str(file), "k-4")
    put(file, written)
    known = index.added("a", str(file), before, line("k-4").rstrip(), "k-4")

    assert known == Index.read_all(str(file), "k-4")
    assert agreed(index, file, "k-5").has_key
    assert agreed(index, file, "k-4").has_key


@pytest.mark.parametrize("damage", [b"this is no database, but a long text" * 200, b"", b"\0" * 9])
def test_a_damaged_index_is_made_anew(index: Index, file: Path, damage: bytes) -> None:
    """Its answers are those of the file throughout."""
    index.close()
    path = file.with_name(".index.sqlite")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(damage)

    assert agreed(index, file, "k-2").has_key
    assert agreed(index, file, "k-2").has_key


def test_an_index_that_was_edited_is_not_believed(index: Index, file: Path) -> None:
    """What it says and cannot be read is read from the file."""
    with sqlite3.connect(file.with_name(".index.sqlite")) as connection:
        connection.execute("UPDATE files SET tally = '{}'")
    connection.close()

    assert agreed(index, file, "k-2").has_key


def test_an_index_that_cannot_be_made_costs_only_time(tmp_path: Path, file: Path) -> None:
    """The file is read instead."""
    (tmp_path / "taken").write_text("")
    index = Index(str(tmp_path / "taken" / ".index.sqlite"))

    assert agreed(index, file, "k-1").has_key


def test_agents_do_not_share_keys(index: Index, file: Path, tmp_path: Path) -> None:
    """A key is one of its agent's file."""
    other = tmp_path / "other.jsonl"
    other.write_bytes(line("k-7"))

    assert not index.look("b", str(other), "k-1").has_key
    assert index.look("b", str(other), "k-7").has_key
    assert not index.look("a", str(file), "k-7").has_key


def test_a_line_that_is_too_long_is_passed_over(
    index: Index, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bounded memory, and counted as no record."""
    put(file, b'{"success": true, "x": "' + b"x" * 9 * 2**20 + b'"}\n' + line("k-4"))
    known = agreed(index, file, "k-4")

    assert (known.tally.count, known.tally.skipped, known.has_key) == (4, 1, True)

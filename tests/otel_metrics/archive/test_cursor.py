"""The cursor: written whole, of one archive and one endpoint, held by one replay."""

import json
from pathlib import Path

import pytest

from otel_exporter_ndjson import Segment
from otel_metrics.archive.batches import Position, chain_of
from otel_metrics.archive.cursor import Cursor, CursorError

SEGMENT = Segment("events", "shop", "0123456789abcdef", 3, "2026-01-31", "x.ndjson", "/a", False)


def test_a_place_is_found_again(tmp_path: Path) -> None:
    """By signal, service and writer."""
    with Cursor.held(str(tmp_path / "c"), archive="a", endpoint="e") as cursor:
        cursor.reach(SEGMENT, Position(3, 120))

    with Cursor.held(str(tmp_path / "c"), archive="a", endpoint="e") as cursor:
        assert cursor.positions == {chain_of(SEGMENT): (3, 120)}
    assert json.loads((tmp_path / "c").read_bytes()) == {
        "format": 1,
        "archive": "a",
        "endpoint": "e",
        "positions": {"events": {"shop": {"0123456789abcdef": [3, 120]}}},
    }


def test_the_file_is_for_its_owner_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """But the lock."""
    with Cursor.held(str(tmp_path / "c"), archive="a", endpoint="e") as cursor:
        cursor.reach(SEGMENT, Position(1, 1))
        cursor.reach(SEGMENT, Position(1, 2))

    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "c.lock"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "is no cursor"),
        (b"[1]", "is no cursor"),
        (b'{"format":1,"archive":"a","endpoint":"e"}', "is no cursor"),
        (b'{"format":2,"archive":"a","endpoint":"e","positions":{}}', "format '2'"),
        (b'{"format":1,"archive":"b","endpoint":"e","positions":{}}', "archive 'b'"),
        (b'{"format":1,"archive":"a","endpoint":"f","positions":{}}', "endpoint 'f'"),
        (b'{"format":1,"archive":"a","endpoint":"e","positions":{"events":[]}}', "is no cursor"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_kept(
    tmp_path: Path, said: bytes, reason: str
) -> None:
    """Places of another archive or endpoint would leave out records that were never sent."""
    (tmp_path / "c").write_bytes(said)

    with (
        pytest.raises(CursorError, match=reason),
        Cursor.held(str(tmp_path / "c"), archive="a", endpoint="e"),
    ):
        pass
    assert (tmp_path / "c").read_bytes() == said


def test_two_replays_do_not_share_a_cursor(tmp_path: Path) -> None:
    """The second is told, instead of sending everything once more."""
    path = str(tmp_path / "c")
    with (
        Cursor.held(path, archive="a", endpoint="e"),
        pytest.raises(CursorError, match="another replay is using it"),
        Cursor.held(path, archive="a", endpoint="e"),
    ):
        pass

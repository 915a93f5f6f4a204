"""What services of the system that this takes over write and read, as they do it."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from otel_metrics.sovereignty import SovereigntyStore

PAIRS = {
    "perception": ("perception_cache_hit", "perception_vlm_call"),
    "decision": ("decision_rule_hit", "decision_llm_call"),
    "narration": ("narration_template", "narration_llm"),
}
OTHERS = ("skill_crystallized", "api_call", "api_cost")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SovereigntyStore]:
    """A store at the path that is the default, in the folder of the test."""
    with SovereigntyStore() as made:
        assert (tmp_path / "data" / "sovereignty_metrics.db").exists()
        yield made


def asked(statement: str) -> list[tuple[object, ...]]:
    """Ask the file as a program that knows nothing but its tables."""
    with closing(sqlite3.connect("data/sovereignty_metrics.db")) as connection:
        return connection.execute(statement).fetchall()


def test_the_nine_types_are_recorded(store: SovereigntyStore) -> None:
    """Each is a row with the four columns; times are Unix seconds, metadata JSON."""
    for kind in (*[kind for pair in PAIRS.values() for kind in pair], *OTHERS):
        store.record(kind, {"from": "test", "n": 1}, session_id="s-1")

    rows = asked("SELECT timestamp, event_type, session_id, metadata_json FROM events")
    assert len(rows) == 9
    for timestamp, _, session_id, metadata in rows:
        assert isinstance(timestamp, float)
        assert abs(timestamp - time.time()) < 60
        assert session_id == "s-1"
        assert json.loads(str(metadata)) == {"from": "test", "n": 1}


def test_metadata_and_session_may_be_left_out(store: SovereigntyStore) -> None:
    """The type is enough."""
    store.record("api_call")

    [(session_id, metadata)] = asked("SELECT session_id, metadata_json FROM events")
    assert session_id is None
    assert json.loads(str(metadata)) == {}


def test_an_unknown_type_is_an_error_that_names_the_nine(store: SovereigntyStore) -> None:
    """And nothing is written."""
    with pytest.raises(ValueError, match="perception_cache_hit") as error:
        store.record("perception")

    named = (*[kind for pair in PAIRS.values() for kind in pair], *OTHERS)
    assert all(kind in str(error.value) for kind in named)
    assert asked("SELECT * FROM events") == []


@pytest.mark.parametrize("layer", PAIRS)
def test_the_share_of_a_layer(store: SovereigntyStore, layer: str) -> None:
    """In percent, for a window in seconds or as a timedelta, and 0.0 before anything happens."""
    sovereign, model = PAIRS[layer]
    assert store.get_sovereignty_pct(layer, 3600) == 0.0
    for kind in (sovereign, sovereign, sovereign, model, *OTHERS):
        store.record(kind)

    assert store.get_sovereignty_pct(layer, 3600) == 75.0
    assert store.get_sovereignty_pct(layer, timedelta(hours=1)) == 75.0
    others = [other for other in PAIRS if other != layer]
    assert [store.get_sovereignty_pct(other, 3600) for other in others] == [0.0, 0.0]


def test_the_cost_per_hour(store: SovereigntyStore) -> None:
    """What `cost_usd` in the metadata says, over the window's hours."""
    store.record("api_cost", {"cost_usd": 0.5})
    store.record("api_cost", {"cost_usd": 0.25})
    store.record("api_call", {"model": "x"})

    assert store.get_cost_per_hour(3600) == pytest.approx(0.75)
    assert store.get_cost_per_hour(timedelta(minutes=30)) == pytest.approx(1.5)


def test_what_is_before_the_window_does_not_count(store: SovereigntyStore) -> None:
    """Rows may also be inserted by a program that knows nothing but the table."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.executemany(
            "INSERT INTO events (timestamp, event_type, session_id, metadata_json)"
            " VALUES (?, 'decision_llm_call', NULL, '{\"cost_usd\": 4.0}')",
            [(time.time() - 7200,), (time.time() - 10,)],
        )
    store.record("decision_rule_hit")

    assert store.get_sovereignty_pct("decision", 3600) == 50.0
    assert store.get_sovereignty_pct("decision", timedelta(days=1)) == pytest.approx(100 / 3)
    assert store.get_cost_per_hour(3600) == pytest.approx(4.0)


def test_skills_that_crystallised(store: SovereigntyStore) -> None:
    """Of one session, and of all."""
    store.record("skill_crystallized", session_id="a")
    store.record("skill_crystallized", session_id="a")
    store.record("skill_crystallized", session_id="b")
    store.record("skill_crystallized")

    assert store.get_skills_crystallized("a") == 2
    assert store.get_skills_crystallized("c") == 0
    assert store.get_skills_crystallized() == 4


def test_sessions(store: SovereigntyStore) -> None:
    """A row each, from the start on; the end is filled in."""
    store.start_session("s-1", "chess")
    store.start_session("s-2", "go")
    store.end_session("s-1")

    rows = asked("SELECT session_id, game, start_time, end_time FROM sessions ORDER BY session_id")
    [(_, chess, start, end), (_, go, _, running)] = rows
    assert (chess, go, running) == ("chess", "go", None)
    assert isinstance(start, float)
    assert isinstance(end, float)
    assert start <= end


def test_the_snapshot_tells_no_data_from_no_sovereignty(store: SovereigntyStore) -> None:
    """Percent per layer, cost per hour and crystallised skills, ready for JSON."""
    store.record("decision_llm_call", {"cost_usd": 0.5})
    store.record("skill_crystallized")

    snapshot = json.loads(json.dumps(store.snapshot(timedelta(hours=1))))
    assert {layer: share["has_data"] for layer, share in snapshot["layers"].items()} == {
        "perception": False,
        "decision": True,
        "narration": False,
    }
    assert snapshot["layers"]["decision"]["sovereignty_pct"] == 0.0
    assert snapshot["cost_per_hour"] == pytest.approx(0.5)
    assert snapshot["skills_crystallized"] == 1


def test_a_second_process_reads_what_the_first_wrote(store: SovereigntyStore) -> None:
    """As soon as the call has returned."""
    for _ in range(100):
        store.record("narration_template")

        assert asked("SELECT count(*) FROM events")[0] == (
            store.snapshot()["layers"]["narration"]["sovereign"],
        )

"""The store: what is recorded is there, whatever happens to the file, and no caller waits."""

import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_metrics import Telemetry, events, sovereignty
from otel_metrics.sovereignty import SovereigntyStore, identity, lifetime, writer
from otel_metrics.testing import Captured
from tests.otel_metrics.sovereignty.stores import archived, await_condition, configured, rows
from tests.otel_metrics.sqlite.holder import held_by_another
from tests.otel_metrics.test_recorders import HOSTILE
from tests.torture.figures import NotRunError
from tests.torture.mounts import resize, tmpfs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is to be."""
    return tmp_path / "data" / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[SovereigntyStore]:
    """A store of the test's own."""
    with SovereigntyStore(path) as made:
        yield made


@pytest.fixture
def telemetry(tmp_path: Path, path: Path) -> Iterator[Telemetry]:
    """Telemetry with an archive and a store."""
    with configured(tmp_path, path) as started:
        yield started


def test_a_call_counts_makes_an_event_and_a_row(
    store: SovereigntyStore, path: Path, captured_telemetry: Captured
) -> None:
    """The row is there when the call returns."""
    store.record("decision_rule_hit", {"cost_usd": 0.5}, session_id="s")

    [(_, _, timestamp, *row)] = rows(path)
    assert row == ["decision_rule_hit", "s", '{"cost_usd": 0.5}', 0.5]
    assert timestamp == pytest.approx(time.time(), abs=60)
    assert captured_telemetry.value("sovereignty.events") == 1
    assert captured_telemetry.value("sovereignty.api.cost") == 0.5
    assert captured_telemetry.event("sovereignty.decision_rule_hit").attributes["session.id"] == "s"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.record("decision_rule_hits"), "did you mean decision_rule_hit"),
        (lambda s: s.record(7), "perception_cache_hit, perception_vlm_call, decision_rule_hit"),
        (lambda s: s.get_sovereignty_pct("decisions", 60), "did you mean decision"),
        (lambda s: s.get_sovereignty_pct("decision", 0), "time_window=0: is not above 0"),
        (lambda s: s.get_sovereignty_pct("decision", "1h"), "give a timedelta or seconds"),
        (lambda s: s.get_cost_per_hour(float("nan")), "time_window=nan"),
        (lambda s: s.snapshot(timedelta(seconds=-1)), "is not above 0"),
        (
            lambda s: s.get_cost_per_hour(1e300),
            "time_window=1e.300: .* give 1e-06 to 1e.14 seconds",
        ),
        (lambda s: s.get_cost_per_hour(1e-300), "time_window=1e-300: is out of range"),
        (lambda s: s.get_sovereignty_pct("decision", 10**5000), "is out of range"),
        (lambda s: s.start_session("", "chess"), "session_id=''"),
        (lambda s: s.start_session("s", None), "game=None"),
        (lambda s: s.end_session(None), "session_id=None"),
    ],
)
def test_a_wrong_argument_is_a_value_error(
    store: SovereigntyStore, call: Callable[[Any], object], message: str
) -> None:
    """That says what would have been right; nothing is kept."""
    with pytest.raises(ValueError, match=message):
        call(store)

    assert rows(Path(store.path)) == set()


def test_a_window_may_be_as_long_as_a_timedelta(store: SovereigntyStore) -> None:
    """Which is all there is."""
    store.record("decision_rule_hit")

    assert store.get_sovereignty_pct("decision", timedelta.max) == 100.0


@pytest.mark.parametrize(
    "session_id",
    ["a\ud800", "a\0b", "sk-aaaaaaaaaaaaaaaaaaaa1", "4111111111111111", "x" * 70_000, 7],
    ids=["surrogate", "NUL", "key", "card", "long", "number"],
)
def test_a_session_is_found_under_the_name_it_was_recorded_with(
    store: SovereigntyStore, session_id: Any
) -> None:
    """However it had to be written to be kept."""
    store.record("skill_crystallized", session_id=session_id)

    assert store.get_skills_crystallized(session_id) == 1
    assert store.get_skills_crystallized("another") == 0


def test_sessions_whose_ids_look_like_secrets_are_told_apart(
    telemetry: Telemetry, tmp_path: Path, path: Path
) -> None:
    """In the store and in the archive alike, by whichever call, and the ids are in neither."""
    ids = ["sk-aaaaaaaaaaaaaaaaaaaa1", "sk-aaaaaaaaaaaaaaaaaaaa2", "run 4111111111111111"]
    direct = SovereigntyStore(path)
    for count, session_id in enumerate(ids, 1):
        sovereignty.start_session(session_id, "chess")
        for _ in range(count):
            direct.record("skill_crystallized", session_id=session_id)
        sovereignty.record("api_call", session_id=session_id)
        direct.end_session(session_id)

    assert telemetry.flush(10)["sovereignty_db"].ok
    assert [sovereignty.get_skills_crystallized(each) for each in ids] == [1, 2, 3]
    assert rows(path) == archived(tmp_path / "archive")
    with closing(sqlite3.connect(path)) as connection:
        sessions = connection.execute("SELECT session_id FROM sessions WHERE end_time").fetchall()
    kept = {str(session_id) for (session_id,) in sessions}
    assert kept == {str(row[4]) for row in rows(path)}
    assert len(kept) == 3
    assert not any("aaaaaaaa" in each or "11111111" in each for each in kept)


def test_the_cost_per_hour_is_a_number_of_json(store: SovereigntyStore) -> None:
    """Whatever was recorded as a cost, however short the window."""
    for cost in (1.7e308, 1.7e308, 1e12, 1e12):
        store.record("api_cost", {"cost_usd": cost})

    json.dumps(store.snapshot(0.5), allow_nan=False)
    assert store.get_cost_per_hour(3600) == 2e12


def test_no_layer_has_data_before_anything_happens(store: SovereigntyStore) -> None:
    """Nothing is 0 %, and the snapshot tells that from nothing sovereign."""
    assert store.get_sovereignty_pct("perception", 60) == 0.0
    store.record("perception_vlm_call")

    layers = store.snapshot(60)["layers"]
    assert layers["perception"] == {
        "sovereignty_pct": 0.0,
        "has_data": True,
        "sovereign": 0,
        "model": 1,
    }
    assert layers["decision"]["has_data"] is False


def test_a_path_of_another_program_is_a_value_error(tmp_path: Path) -> None:
    """It is the argument that is wrong; the file is left alone."""
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("CREATE TABLE users (name)")

    with pytest.raises(ValueError, match="give a path of its own for sovereignty"):
        SovereigntyStore(tmp_path / "x.db")


def test_secrets_do_not_reach_the_file(store: SovereigntyStore, path: Path) -> None:
    """As they reach no other place."""
    store.record("api_call", {"api_key": "abc123", "note": "Bearer abcdefghijklmnop"})
    store.close()

    assert b"abc123" not in path.read_bytes()
    assert b"abcdefghijklmnop" not in path.read_bytes()


def test_what_the_module_records_is_in_the_configured_store(
    telemetry: Telemetry, tmp_path: Path, path: Path
) -> None:
    """Once, the same as in the archive; and its functions answer from there."""
    sovereignty.start_session("s", "chess")
    sovereignty.record("decision_rule_hit", session_id="s")
    sovereignty.record("decision_llm_call", {"cost_usd": 3.0}, session_id="s")
    sovereignty.record("skill_crystallized", session_id="s")
    sovereignty.end_session("s")

    assert telemetry.flush(10)["sovereignty_db"].ok
    assert rows(path) == archived(tmp_path / "archive")
    assert sovereignty.get_sovereignty_pct("decision", timedelta(hours=1)) == 50.0
    assert sovereignty.get_cost_per_hour(1800) == 6.0
    assert sovereignty.get_skills_crystallized("s") == 1
    assert sovereignty.get_skills_crystallized("t") == 0
    assert sovereignty.snapshot()["skills_crystallized"] == 1
    with closing(sqlite3.connect(path)) as connection:
        [(_, game, start, end)] = connection.execute("SELECT * FROM sessions")
    assert game == "chess"
    assert start <= end


def test_an_object_beside_the_configured_store_writes_nothing_twice(
    telemetry: Telemetry, tmp_path: Path, path: Path
) -> None:
    """Neither to the same file nor to the archive; another file gets it too."""
    SovereigntyStore(path).record("api_call")
    SovereigntyStore(tmp_path / "other.db").record("api_cost", {"cost_usd": 1})

    assert telemetry.flush(10).ok
    assert {row[3] for row in rows(path)} == {"api_call", "api_cost"}
    assert {row[3] for row in rows(tmp_path / "other.db")} == {"api_cost"}
    assert rows(path) == archived(tmp_path / "archive")


def test_a_question_without_a_store_says_what_to_set() -> None:
    """It has no answer, and 0 would be one."""
    with pytest.raises(sovereignty.NoStoreError, match="OTEL_PYTHON_METRICS_SOVEREIGNTY_DB"):
        sovereignty.get_sovereignty_pct("decision", 60)
    with pytest.raises(RuntimeError, match="configure"):
        sovereignty.snapshot()


@pytest.mark.slow
def test_a_lock_of_another_process_holds_up_nobody(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For longer than it is waited for: callers go on, the archive has all, the store too in the
    end, and one line says so."""
    with configured(tmp_path, path) as telemetry:
        direct = SovereigntyStore(path)
        sovereignty.record("api_call")
        assert telemetry.flush(10).ok
        times = []
        with held_by_another(path), caplog.at_level(logging.WARNING):
            for _ in range(600):
                for record in (sovereignty.record, direct.record):
                    begun = time.perf_counter()
                    record("decision_rule_hit")
                    times.append(time.perf_counter() - begun)
                time.sleep(0.01)
            result = telemetry.flush(1)
            assert result.ndjson.ok
            assert result["sovereignty_db"].status == "timed_out"
            assert "another process holds it" in str(result["sovereignty_db"].reason)
            assert sovereignty.snapshot()["has_data"]  # what was committed, at once
            assert len(archived(tmp_path / "archive")) == 1201

        assert direct.flush(30)
        assert telemetry.flush(30)["sovereignty_db"].ok
        assert rows(path) == archived(tmp_path / "archive")
        assert statistics.median(times) < 0.005
        assert max(times) < 3  # the lock is held for twice as long
        told = [
            each.getMessage() for each in caplog.records if "sovereignty_db" in each.getMessage()
        ]
        assert sum("rows wait" in line for line in told) <= 2  # one a store


def test_what_finds_no_room_is_counted_and_taken_from_the_archive(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as there is room."""
    monkeypatch.setattr(writer, "QUEUE_ROWS_MAX", 20)
    with configured(tmp_path, path) as telemetry:
        sovereignty.record("api_call")
        assert telemetry.flush(10).ok
        with held_by_another(path):
            for _ in range(50):
                sovereignty.record("decision_rule_hit")
            verdict = telemetry.flush(0.2)["sovereignty_db"]
            assert verdict.status == "failed"
            assert "30 events were not kept" in str(verdict.reason)
            assert "QueueFullError" in str(verdict.reason)

        await_condition(lambda: rows(path) == archived(tmp_path / "archive"))


def test_an_object_counts_what_it_cannot_keep(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By reason; recording does not raise."""
    monkeypatch.setattr(writer, "QUEUE_BYTES_MAX", 1_000)
    store = SovereigntyStore(path)
    with held_by_another(path):
        for _ in range(10):
            store.record("api_call", {"text": "x" * 100})

    assert store.flush(10)
    assert store.lost == {"queue_full": 7}
    assert len(rows(path)) == 3
    assert sum("not kept" in each.getMessage() for each in caplog.records) == 1
    store.close()


def test_an_event_that_is_no_row_is_counted_too(
    store: SovereigntyStore,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever has become of it on its way; a line tells, once a minute at most."""
    monkeypatch.setattr(identity._writer, "numbers", itertools.count(identity.NUMBER_MAX + 1))
    store.record("api_call")
    store.start_session("s", "chess")

    assert rows(path) == set()
    assert store.lost == {"no_identity": 2}
    [line] = caplog.messages
    assert "not kept: sovereignty.api_call has no sovereignty.event.id" in line


def test_an_emitted_event_that_is_no_row_is_told(telemetry: Telemetry) -> None:
    """By the verdict of a flush, as whatever a store does not take."""
    events.emit("sovereignty.api_call", {})

    verdict = telemetry.flush(10)["sovereignty_db"]
    assert verdict.status == "failed"
    assert "1 events were not kept" in str(verdict.reason)
    assert "UnusableEventError" in str(verdict.reason)


CHILD = """
import os, sys, time
import otel_metrics
from otel_metrics import sovereignty
otel_metrics.configure(service_name="shop", metrics_exporter=["ndjson"], ndjson_path=sys.argv[1],
    sovereignty_db=sys.argv[2], host_metrics="off", exit_timeout=os.environ.get("TEST_EXIT", "20s"))
store = sovereignty.SovereigntyStore(sys.argv[2]) if "object" in sys.argv else sovereignty
print("ready", flush=True)
count = int(sys.argv[3])
number = 0
while number != count:
    number += 1
    store.record("api_cost", {"cost_usd": 0.25, "n": number}, session_id="s")
    if "paced" in sys.argv:
        time.sleep(0.0005)
"""


def child(
    tmp_path: Path, path: Path, count: int, *more: str, exit_timeout: str = "20s"
) -> "subprocess.Popen[bytes]":
    """Start a process that records, for ever with a count of -1; return when it does."""
    arguments = [str(tmp_path / "archive"), str(path), str(count), *more]
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "TEST_EXIT": exit_timeout},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("how", ["module", "object"])
def test_the_end_of_a_process_writes_the_queue(tmp_path: Path, path: Path, how: str) -> None:
    """Without a word from it."""
    with child(tmp_path, path, 3_000, how) as process:
        assert process.wait(60) == 0

    assert len(rows(path)) == 3_000
    assert rows(path) == archived(tmp_path / "archive")


@pytest.mark.slow
def test_sigterm_writes_the_queue(tmp_path: Path, path: Path) -> None:
    """Within the budget, of a process that records no faster than its store writes."""
    with child(tmp_path, path, -1, "paced") as process:
        await_condition(lambda: bool(rows(path)))
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM

    assert time.monotonic() - begun < 25
    missing = archived(tmp_path / "archive") ^ rows(path)
    assert len(missing) <= 1  # one that was being recorded when the budget was over


@pytest.mark.slow
def test_a_locked_database_does_not_hold_up_the_end(tmp_path: Path, path: Path) -> None:
    """The budget is kept, the archive has all, and the next start brings it into the store."""
    SovereigntyStore(path).close()
    with held_by_another(path):
        begun = time.monotonic()
        with child(tmp_path, path, 100, exit_timeout="1s") as process:
            assert process.wait(60) == 0  # and not for ever
        assert time.monotonic() - begun < 30
        assert len(archived(tmp_path / "archive")) == 100
    assert rows(path) == set()

    with configured(tmp_path, path):
        await_condition(lambda: rows(path) == archived(tmp_path / "archive"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["module", "object"])
def test_killed_at_any_moment_the_next_start_makes_it_whole(
    tmp_path: Path, path: Path, how: str
) -> None:
    """No row is missing and none is there twice, round after round."""
    for round_ in range(3):
        with child(tmp_path, path, -1, how) as process:
            time.sleep(0.02 + 0.05 * (round_ % 5))  # a moment that nothing in the process chooses
            process.kill()

    with child(tmp_path, path, 0, how) as process:
        assert process.wait(60) == 0
    with configured(tmp_path, path):
        await_condition(lambda: rows(path) == archived(tmp_path / "archive"))


@pytest.mark.slow
def test_a_kill_during_the_catching_up_costs_nothing(tmp_path: Path, path: Path) -> None:
    """The next one goes on, after the dead reader's lease has run out."""
    with child(tmp_path, path, 5_000) as process:
        process.wait(60)
    path.unlink()
    for _ in range(2):
        with child(tmp_path, path, -1) as process:
            await_condition(lambda: path.exists())
            time.sleep(0.05)  # a moment that nothing in the process chooses
            process.kill()

    with configured(tmp_path, path):
        await_condition(lambda: rows(path) == archived(tmp_path / "archive"), 60)


def test_a_damaged_file_is_rebuilt_from_the_archive(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the next start, in the background; it is kept aside, and one line says where."""
    with configured(tmp_path, path):
        sovereignty.start_session("s", "chess")
        for _ in range(500):
            sovereignty.record("decision_rule_hit", {"text": "x" * 100}, session_id="s")
    before = rows(path)
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096 * 3)

    with configured(tmp_path, path):
        sovereignty.record("api_call")
        await_condition(lambda: rows(path) == archived(tmp_path / "archive"))
        assert before < rows(path)
        assert sovereignty.get_sovereignty_pct("decision", 3600) == 100.0
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT game FROM sessions").fetchall() == [("chess",)]
        lines = [each.getMessage() for each in caplog.records if "was damaged" in each.getMessage()]
        assert len(lines) == 1
        assert "s.db.damaged-" in lines[0]


def test_damage_at_work_is_mended_too(telemetry: Telemetry, tmp_path: Path, path: Path) -> None:
    """By whoever meets it, and without a restart."""
    for _ in range(300):
        sovereignty.record("decision_rule_hit")
    assert telemetry.flush(10).ok
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 20)

    def mended() -> bool:
        sovereignty.record("api_call")
        telemetry.flush(5)
        sovereignty.snapshot()
        return any(".damaged-" in each.name for each in path.parent.iterdir())

    await_condition(mended)
    await_condition(lambda: rows(path) == archived(tmp_path / "archive"))


def record_in_child(count: int) -> None:
    """Record in a forked child of multiprocessing."""
    for _ in range(count):
        sovereignty.record("api_call", {"pid": os.getpid()})


@pytest.mark.slow
def test_forked_children_record_for_themselves(
    telemetry: Telemetry, tmp_path: Path, path: Path
) -> None:
    """Each as a writer of its own; nothing of the parent's queue is written twice."""
    context = multiprocessing.get_context("fork")
    for _ in range(50):
        sovereignty.record("api_call", {"pid": os.getpid()})
    children = [context.Process(target=record_in_child, args=(50,)) for _ in range(4)]
    for each in children:
        each.start()
    for _ in range(50):
        sovereignty.record("api_call", {"pid": os.getpid()})
    for each in children:
        each.join(60)

    assert [each.exitcode for each in children] == [0] * 4
    assert telemetry.flush(10)["sovereignty_db"].ok
    assert rows(path) == archived(tmp_path / "archive")
    assert len(rows(path)) == 300
    assert len({row[0] for row in rows(path)}) == 5


def record_in_store(path: str, count: int) -> None:
    """Record in a store of a child's own."""
    lifetime.END_WAIT_S = 30.0  # type: ignore[misc]  # a busy machine
    store = SovereigntyStore(path)
    for _ in range(count):
        store.record("decision_rule_hit")


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
def test_the_end_of_children_of_multiprocessing_writes_the_queue(path: Path, start: str) -> None:
    """However they are started: those that are forked skip atexit."""
    SovereigntyStore(path).close()
    context: Any = multiprocessing.get_context(start)  # of no type that says what all three have
    children = [context.Process(target=record_in_store, args=(str(path), 300)) for _ in range(4)]
    for each in children:
        each.start()
    for each in children:
        each.join(60)

    assert [each.exitcode for each in children] == [0] * 4
    assert len(rows(path)) == 1_200


@pytest.mark.slow
def test_many_processes_write_one_file(tmp_path: Path, path: Path) -> None:
    """All rows of all of them."""
    processes = [child(tmp_path, path, 1_000, how) for how in ("module", "object") * 2]
    for process in processes:
        with process:
            assert process.wait(120) == 0

    assert len(rows(path)) == 4_000
    assert rows(path) == archived(tmp_path / "archive")


def test_a_store_can_be_used_after_it_was_closed(store: SovereigntyStore, path: Path) -> None:
    """It opens again."""
    store.record("api_call")
    store.close()
    store.record("api_call")

    assert store.snapshot()["has_data"]
    assert len(rows(path)) == 2


@pytest.mark.slow
def test_a_database_of_a_later_release_is_read(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows wait, one line says what to do, and questions are answered."""
    with SovereigntyStore(path) as store:
        store.record("decision_rule_hit")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("UPDATE otel_metrics_schema SET version = 99")

    with SovereigntyStore(path) as later:
        later.record("decision_llm_call")
        assert later.get_sovereignty_pct("decision", 3600) == 100.0
    assert any("update otel-metrics to write it" in each.getMessage() for each in caplog.records)


@pytest.mark.slow
def test_a_full_disk_keeps_the_rows_waiting(tmp_path: Path) -> None:
    """Callers notice nothing; all rows are there once there is room again."""
    try:
        with tmpfs(tmp_path, "size=600k") as folder, SovereigntyStore(folder / "s.db") as store:
            count = 0
            deadline = time.monotonic() + 60
            while store.trouble is None:
                store.record("api_call", {"text": "x" * 1_000})
                count += 1
                time.sleep(0.001)
                assert time.monotonic() < deadline

            assert not store.flush(0.1)
            resize(folder, "size=64m")
            assert store.flush(30)
            assert len(rows(folder / "s.db")) == count
            assert store.lost == {}
    except NotRunError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_arguments_raise_nothing_but_value_errors(
    store: SovereigntyStore, kind: str
) -> None:
    """Of objects whose every method raises none is asked."""
    given: Any = HOSTILE[kind]
    store.record("api_cost", given, session_id=given)
    calls: list[Callable[[], object]] = [
        lambda: store.record(given),
        lambda: store.get_sovereignty_pct(given, 60),
        lambda: store.start_session(given, given),
        lambda: store.end_session(given),
        lambda: store.get_skills_crystallized(given),
    ]
    for call in calls:
        with contextlib.suppress(ValueError):
            call()

    assert len(rows(Path(store.path))) == 1

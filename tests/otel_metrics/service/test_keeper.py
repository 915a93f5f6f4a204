"""The keeper: what samples come to, with a file and without one."""

import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import Playbooks
from otel_metrics.errors import RecordingError
from otel_metrics.rejections import read_rejected
from otel_metrics.service.history import Question
from otel_metrics.service.keeper import UNKNOWN, WAITING_MAX, Keeper
from otel_metrics.service.overview import overview
from otel_metrics.service.samples import Recommendation, Resource
from otel_metrics.service.snapshots import Latest
from otel_metrics.service.store import (
    ANNOUNCED_AT_ONCE,
    ENTRIES_MAX,
    FORGOTTEN_AT_ONCE,
    LATEST_MAX,
    RETENTION_S,
    SILENT_S,
    ServiceStore,
)
from otel_metrics.testing import Captured
from tests.otel_metrics.service.kept import CPU, HOST, START, Kept, metric, sample
from tests.otel_metrics.sqlite.holder import held_by_another

DEADLINE_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "service.db"


@pytest.fixture
def store(path: Path) -> Iterator[ServiceStore]:
    """A store that is closed at the end."""
    made = ServiceStore(path)
    yield made
    made.close()


@pytest.fixture(params=["file", "memory"])
def kept(request: pytest.FixtureRequest, store: ServiceStore) -> Kept:
    """A keeper with a file, and one without."""
    return Kept(store if request.param == "file" else None)


def stats(*figures: float) -> dict[str, float]:
    """Return the figures of a record, in its order."""
    return dict(zip(("min", "max", "avg", "p95", "sample_count"), figures, strict=True))


def absences(kept: Kept) -> dict[object, object]:
    """Return why each resource has no value on the page, by its id."""
    records = overview(kept.metrics, kept.keeper.latest(), now=kept.now)
    return {each["resource"]["id"]: each["absent"] for each in records}  # type: ignore[index] # a mapping


def test_a_window_that_is_over_becomes_a_snapshot(kept: Kept) -> None:
    """With the words that those who read such records know."""
    kept.take(10.0, 20.0, 75.0, 90.0, 60.0, 61.0, 62.0, 63.0, 64.0)
    kept.pass_(60)

    assert kept.snapshots() == [
        {
            "snapshot_id": "host-1:2027-01-15T08:05:00Z:infra.cpu_utilization",
            "metric_id": "infra.cpu_utilization",
            "resource_scope": "host",
            "resource_id": "host-1",
            "window_start": "2027-01-15T08:00:00Z",
            "window_end": "2027-01-15T08:05:00Z",
            "aggregation": "avg",
            "value": pytest.approx(56.111, abs=0.001),
            "latest_band": "good",
            "created_at": "2027-01-15T08:05:30Z",
            "stats": {
                "min": 10.0,
                "max": 90.0,
                "avg": pytest.approx(56.111, abs=0.001),
                "p95": 90.0,
                "sample_count": 9,
            },
            "bands": {"good_samples": 7, "warning_samples": 1, "critical_samples": 1},
            "expected_samples": 10,
            "missing_samples": 0,
            "late_samples": 0,
            "not_a_number_samples": 0,
            "derived_actions": [],
        }
    ]


def test_a_window_is_open_until_it_is_over(kept: Kept) -> None:
    """And a moment longer, for what is under way."""
    kept.take(10.0)
    kept.pass_(270.0)
    before = kept.snapshots()
    kept.pass_(1.5)
    kept.pass_(300.0)

    assert before == []
    assert [snapshot["window_end"] for snapshot in kept.snapshots()] == ["2027-01-15T08:05:00Z"]


def test_each_resource_has_snapshots_of_its_own(kept: Kept) -> None:
    """And each window."""
    kept.take(1.0, resource=Resource("host", "a"))
    kept.take(2.0, resource=Resource("host", "b"))
    kept.pass_(300.0)
    kept.take(3.0, resource=Resource("host", "a"))
    kept.pass_(300.0)

    found = [(each["resource_id"], each["window_end"], each["value"]) for each in kept.snapshots()]
    assert found == [
        ("a", "2027-01-15T08:05:00Z", 1.0),
        ("b", "2027-01-15T08:05:00Z", 2.0),
        ("a", "2027-01-15T08:10:00Z", 3.0),
    ]


def test_what_is_missing_late_or_no_number_is_counted_as_such(kept: Kept) -> None:
    """And is in no figure."""
    kept.take(10.0)
    kept.pass_(300.0)
    kept.keeper.missed(CPU.name, HOST, "timeout")
    kept.keeper.missed(CPU.name, HOST, "connection")
    kept.keeper.missed(CPU.name, HOST, "not_a_number")
    kept.take(math.nan, math.inf, 20.0)
    kept.keeper.take(sample(99.0, at=START + 40))
    kept.pass_(300.0)

    first, second = kept.snapshots()
    names = ("value", "missing_samples", "not_a_number_samples", "late_samples")
    assert [first[name] for name in names] == [10.0, 8, 0, 0]
    assert [second[name] for name in names] == [20.0, 5, 3, 1]


def test_a_source_that_never_answered_has_a_snapshot_that_says_so(kept: Kept) -> None:
    """Nothing is in it but that all is missing."""
    for _ in range(10):
        kept.now += 25
        kept.keeper.missed(CPU.name, HOST, "timeout")
    kept.pass_(60)

    [snapshot] = kept.snapshots()
    assert (snapshot["value"], snapshot["latest_band"]) == (None, None)
    assert snapshot["stats"] == dict.fromkeys(("min", "max", "avg", "p95")) | {"sample_count": 0}
    assert (snapshot["expected_samples"], snapshot["missing_samples"]) == (10, 10)


@pytest.mark.parametrize(
    ("value", "playbook", "band"),
    [(75.0, "shift-load", "warning"), (90.0, "scale-nodes", "critical")],
)
def test_three_samples_in_a_row_recommend_the_playbook_of_their_band(
    kept: Kept, value: float, playbook: str, band: str
) -> None:
    """Its confidence is the share of the window's samples in the band."""
    kept.take(10.0, value, value, value)

    recommendation = Recommendation(
        id=f"host-1:2027-01-15T08:02:00Z:infra.cpu_utilization:{band}",
        metric="infra.cpu_utilization",
        resource=HOST,
        band=band,  # type: ignore[arg-type] # of the table
        playbook=playbook,
        confidence=0.75,
        reason=(
            f"infra.cpu_utilization of host-1 is {band}, 3 samples in a row; the last is {value:g}"
        ),
        observed_at=START + 120,
        values=(value, value, value),
    )
    assert kept.recommendations == [recommendation]
    assert kept.events == [
        (
            "service.recommendation",
            {
                "recommendation_id": recommendation.id,
                "metric_id": "infra.cpu_utilization",
                "resource": {"scope": "host", "id": "host-1"},
                "band": band,
                "action_type": "recommend_playbook",
                "playbook_id": playbook,
                "confidence": 0.75,
                "reason": recommendation.reason,
                "observed_at": "2027-01-15T08:02:00Z",
            },
        )
    ]


def test_a_recommendation_is_a_derived_action_of_its_window(kept: Kept) -> None:
    """And of no other."""
    kept.take(90.0, 90.0, 90.0)
    kept.pass_(300.0)
    kept.take(90.0)
    kept.pass_(300.0)

    first, second = kept.snapshots()
    assert first["derived_actions"] == [
        {
            "action_type": "recommend_playbook",
            "playbook_id": "scale-nodes",
            "confidence": 1.0,
            "reason": kept.recommendations[0].reason,
        }
    ]
    assert second["derived_actions"] == []


def test_absent_data_recommends_nothing(kept: Kept) -> None:
    """A sample that is missing, no number, or late for its window breaks the run."""
    kept.take(10.0)
    kept.pass_(300.0)
    kept.take(90.0, 90.0)
    kept.keeper.missed(CPU.name, HOST, "timeout")
    kept.take(90.0, 90.0, math.nan, 90.0, 90.0)
    kept.keeper.take(sample(90.0, at=START + 40))
    kept.take(90.0, 90.0)

    assert kept.recommendations == []


def test_a_state_that_lasts_recommends_once(kept: Kept) -> None:
    """And again only after it was another one."""
    kept.take(*[90.0] * 50)
    once = len(kept.recommendations)
    kept.take(10.0, *[90.0] * 50)

    assert (once, len(kept.recommendations)) == (1, 2)


def test_a_metric_without_a_playbook_recommends_nothing(store: ServiceStore) -> None:
    """Its bands count all the same."""
    bare = msgspec.structs.replace(CPU, playbooks=Playbooks(warning="shift-load"))
    kept = Kept(store, metrics={CPU.name: bare})
    kept.take(90.0, 90.0, 90.0)
    kept.pass_(300.0)

    assert kept.recommendations == []
    assert kept.snapshots()[0]["bands"] == {
        "good_samples": 0,
        "warning_samples": 0,
        "critical_samples": 3,
    }


def test_who_is_told_of_a_recommendation_harms_nothing(
    store: ServiceStore, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises is in the log."""

    def fail(recommendation: Recommendation) -> None:
        raise RuntimeError(recommendation.id)

    keeper = Keeper({CPU.name: CPU}, window_s=300, store=store, on_recommendation=fail)
    for at in (30.0, 60.0, 90.0):
        keeper.take(sample(90.0, at=START + at))

    assert [record.message for record in caplog.records] == ["a recommendation was not taken"]


def test_a_metric_without_a_source_is_refused(kept: Kept, captured_telemetry: Captured) -> None:
    """And counted."""
    with pytest.raises(RecordingError, match=r"infra\.nothing: no_source"):
        kept.keeper.take(sample(1.0, at=START, name="infra.nothing"))


def test_the_newest_values_are_known(kept: Kept) -> None:
    """What is missing since is said to be missing, beside what was known last."""
    other = Resource("host", "host-2")
    kept.take(10.0, 20.0)
    kept.keeper.missed(CPU.name, other, "timeout")
    first = kept.keeper.latest()
    kept.now += 30
    kept.keeper.missed(CPU.name, HOST, "timeout")
    kept.now += 30
    kept.keeper.missed(CPU.name, HOST, "query")
    second = kept.keeper.latest()
    kept.take(30.0)

    known = Latest(metric=CPU.name, resource=HOST, value=20.0, band="good", observed_at=START + 60)
    silent = Latest(
        metric=CPU.name, resource=other, missing_since=START + 60, missing_reason="timeout"
    )
    assert first == [known, silent]
    assert second == [
        Latest(
            metric=CPU.name,
            resource=HOST,
            value=20.0,
            band="good",
            observed_at=START + 60,
            missing_since=START + 90,
            missing_reason="query",
        ),
        silent,
    ]
    assert kept.keeper.latest()[0] == Latest(
        metric=CPU.name, resource=HOST, value=30.0, band="good", observed_at=START + 150
    )


def test_a_resource_is_known_however_many_there_are(kept: Kept) -> None:
    """Also one that is beyond what a page shows; one of another scope is another."""
    for number in range(LATEST_MAX):
        kept.take(10.0, every_s=0.0, resource=Resource("host", f"{number:05}"))
    asked = [("host", "00000"), ("host", f"{LATEST_MAX - 1:05}"), ("queue", "00007")]

    assert [kept.keeper.knows(Resource(*each)) for each in asked] == [True, True, False]


def test_a_resource_that_never_had_a_value_is_none_that_is_known(kept: Kept) -> None:
    """Nobody said its name: it is what a source is asked for that has not answered."""
    silent, gone = Resource("host", "infra"), Resource("host", "gone")
    kept.take(10.0, resource=gone)
    kept.keeper.missed(CPU.name, silent, "connection")
    kept.keeper.missed(CPU.name, gone, "connection")

    assert [kept.keeper.knows(each) for each in (silent, gone)] == [False, True]


def test_newest_values_have_a_bound_and_an_end() -> None:
    """Without a file, too: resources that come and go, such as pods, fill no memory."""
    kept = Kept()
    for number in range(LATEST_MAX + 5):
        kept.take(10.0, every_s=0.01, resource=Resource("host", f"{number:05}"))
    known = [each.resource.id for each in kept.keeper.latest()]
    kept.pass_(SILENT_S + 400)

    assert (known[0], len(known)) == ("00005", LATEST_MAX)
    assert kept.keeper.latest() == []


def test_old_snapshots_are_removed_as_fast_as_new_ones_come(store: ServiceStore) -> None:
    """A keeper that finds more of them does not wait a minute to go on."""
    kept = Kept(store)
    count = 2 * FORGOTTEN_AT_ONCE + 10
    for number in range(count):
        kept.keeper.take(sample(10.0, at=START + 1, resource=Resource("host", f"{number}")))
    kept.pass_(400.0)
    kept = Kept(store, now=START + RETENTION_S + 1000)
    for _ in range(3):
        kept.pass_(0.5)

    assert store.page(Question()) == []


def test_a_restart_continues_what_is_open(store: ServiceStore) -> None:
    """The snapshot is of all samples, those before it and those after it."""
    before = Kept(store)
    before.take(10.0, 20.0)
    after = Kept(store, now=before.now)
    after.take(30.0, 40.0)
    after.pass_(300.0)

    [snapshot] = after.snapshots()
    assert snapshot["stats"] == stats(10.0, 40.0, 25.0, 40.0, 4)


def test_a_restart_closes_what_was_over_meanwhile(store: ServiceStore) -> None:
    """However long nothing ran."""
    before = Kept(store)
    before.take(90.0, 90.0, 90.0)
    after = Kept(store, now=START + 1_000_000)
    after.pass_(0)

    [snapshot] = after.snapshots()
    assert (snapshot["window_end"], snapshot["value"]) == ("2027-01-15T08:05:00Z", 90.0)
    assert snapshot["derived_actions"] != []


def test_a_restart_shows_no_value_of_a_source_that_is_down(store: ServiceStore) -> None:
    """Although nobody in this process knows whose the values were."""
    before = Kept(store)
    before.take(10.0)
    after = Kept(store, now=before.now + 5)
    shown = [absences(after)]
    after.keeper.missed(CPU.name, Resource("host", "infra"), "connection")
    shown.append(absences(after))
    after.take(20.0)
    shown.append(absences(after))

    assert shown == [
        {"host-1": None},
        {"host-1": "connection", "infra": "connection"},
        {"host-1": None},
    ]


def test_a_worker_whose_function_fails_does_not_go_on_hiding_values_of_others(path: Path) -> None:
    """What another renews since then is shown; one resource without a value hides none."""
    stores = [ServiceStore(path), ServiceStore(path)]
    one, other = (Kept(each) for each in stores)
    one.take(10.0)
    other.now = one.now
    other.keeper.missed(CPU.name, Resource("host", "b"), "no_value")
    beside = absences(one)
    other.keeper.missed(CPU.name, Resource("host", "infra"), "exception")
    one.take(20.0)
    other.keeper.missed(CPU.name, Resource("host", "infra"), "exception")
    renewed = absences(one)
    for each in stores:
        each.close()

    assert (beside["host-1"], renewed["host-1"]) == (None, None)


def test_a_metric_that_the_catalog_lost_is_closed_all_the_same(store: ServiceStore) -> None:
    """A later release must not keep its samples for ever."""
    Kept(store).take(10.0)
    after = Kept(store, metrics={}, now=START + 1000)
    after.pass_(0)

    assert [snapshot["value"] for snapshot in after.snapshots()] == [10.0]


def test_processes_share_a_window(path: Path) -> None:
    """Each of them samples; one of them closes it, and its event is emitted once."""
    stores = [ServiceStore(path), ServiceStore(path)]
    one, other = (Kept(each) for each in stores)
    one.take(10.0)
    other.take(30.0)
    one.pass_(300.0)
    other.pass_(300.0)
    for each in stores:
        each.close()

    assert [snapshot["value"] for snapshot in one.snapshots()] == [20.0]
    assert other.snapshots() == []


def test_each_process_that_samples_is_expected_to(path: Path) -> None:
    """Two workers that each ask a function take twice as many samples as one, and none is missing;
    where one of them has nothing to tell, its samples are."""
    stores = [ServiceStore(path), ServiceStore(path)]
    one, other = (Kept(each) for each in stores)
    for _ in range(9):
        one.take(10.0)
        other.take(30.0)
    one.pass_(31.0)
    for _ in range(9):
        one.take(10.0)
        other.now = one.now
        other.keeper.missed(CPU.name, HOST, "no_value")
    one.pass_(60.0)
    for each in stores:
        each.close()

    names = ("expected_samples", "missing_samples")
    both, alone = one.snapshots()
    assert (both["stats"]["sample_count"], *(both[name] for name in names)) == (18, 18, 0)  # type: ignore[index] # a mapping
    assert (alone["stats"]["sample_count"], *(alone[name] for name in names)) == (9, 18, 9)  # type: ignore[index] # a mapping


def test_processes_that_follow_on_each_other_are_expected_to_take_what_one_does(
    store: ServiceStore,
) -> None:
    """A restart within a window, or another process that takes the office, makes it no two."""
    before = Kept(store)
    before.take(10.0, 20.0, 30.0)
    after = Kept(store, now=before.now)
    after.take(30.0, 40.0, 50.0, 60.0, 70.0, 80.0)
    after.pass_(60.0)

    [snapshot] = after.snapshots()
    assert (snapshot["expected_samples"], snapshot["missing_samples"]) == (10, 0)


def test_a_file_that_is_held_loses_nothing(store: ServiceStore, path: Path) -> None:
    """What cannot be written waits, in order, and the sampler does not wait for long."""
    kept = Kept(store)
    kept.take(10.0)
    with held_by_another(path):
        begun = time.monotonic()
        kept.take(20.0, 30.0)
        waited_s = time.monotonic() - begun
    kept.pass_(300.0)

    assert waited_s < 4.0
    assert kept.snapshots()[0]["stats"] == stats(10.0, 30.0, 20.0, 30.0, 3)


def test_a_file_that_cannot_be_used_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Recommendations go on; when it can be used, what waited is in it."""
    path = tmp_path / "taken" / "service.db"
    (tmp_path / "taken").write_text("a file where the folder should be")
    store = ServiceStore(path)
    kept = Kept(store)
    kept.take(90.0, 90.0, 90.0)
    done = [kept.keeper.flush() for _ in range(3)]
    (tmp_path / "taken").unlink()
    kept.pass_(300.0)
    store.close()

    assert done == [False, False, False]
    assert len(kept.recommendations) == 1
    assert kept.snapshots()[0]["bands"] == {
        "good_samples": 0,
        "warning_samples": 0,
        "critical_samples": 3,
    }
    levels = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in levels if "; samples wait" in record.message]) == 1
    assert f"OTEL_PYTHON_METRICS_SERVICE_DB={store.path}: " in caplog.text
    assert levels[-1].message == "service telemetry: snapshots are kept again"


def test_what_waits_has_a_bound(tmp_path: Path) -> None:
    """What finds no room is counted."""
    (tmp_path / "taken").write_text("")
    kept = Kept(ServiceStore(tmp_path / "taken" / "service.db"))
    for _ in range(WAITING_MAX + 3):
        kept.keeper.missed(CPU.name, HOST, "timeout")

    assert {"metric": CPU.name, "reason": "queue_full"} in [about for _, about in read_rejected()]


def test_a_damaged_file_is_begun_anew(store: ServiceStore, path: Path) -> None:
    """It is moved aside, and what is sampled from then on is kept."""
    kept = Kept(store)
    kept.take(10.0)
    store.close()
    path.write_bytes(b"no database" * 1000)
    kept.take(20.0)
    kept.pass_(300.0)

    assert [snapshot["value"] for snapshot in kept.snapshots()] == [20.0]
    assert list(path.parent.glob("service.db.damaged-*"))


@pytest.mark.slow
def test_the_thread_closes_windows_by_itself(store: ServiceStore) -> None:
    """And what is over when it stops."""
    found: list[Mapping[str, object]] = []
    emitted = threading.Event()

    def emit(
        name: str, attributes: Mapping[str, object], *, timestamp_ns: int | None = None
    ) -> None:
        del name, timestamp_ns
        found.append(attributes)
        emitted.set()

    keeper = Keeper({CPU.name: CPU}, window_s=1, store=store, emit=emit)
    keeper.start()
    keeper.take(sample(10.0, at=time.time()))

    assert emitted.wait(DEADLINE_S)
    keeper.stop(time.monotonic() + DEADLINE_S)
    assert [record["value"] for record in found] == [10.0]


def test_a_stop_writes_what_waits(store: ServiceStore, path: Path) -> None:
    """And leaves open what is not over, for the next start."""
    kept = Kept(store)
    with held_by_another(path):
        kept.take(10.0, 20.0)
    kept.keeper.stop(time.monotonic() + DEADLINE_S)

    with closing(sqlite3.connect(path)) as connection:
        values = connection.execute("SELECT value FROM samples ORDER BY at").fetchall()
    assert values == [(10.0,), (20.0,)]
    assert kept.snapshots() == []


def test_a_stop_ends_in_time(store: ServiceStore, path: Path) -> None:
    """Whoever holds the file; what waits is lost then, and what is in it is not."""
    kept = Kept(store)
    kept.take(10.0)
    kept.now += 1000
    with held_by_another(path):
        kept.take(20.0)
        begun = time.monotonic()
        kept.keeper.stop(begun + 0.5)
        elapsed_s = time.monotonic() - begun
    after = Kept(store, now=kept.now)
    after.pass_(300.0)

    assert elapsed_s < 4.0
    assert [snapshot["value"] for snapshot in after.snapshots()] == [10.0]


@pytest.mark.slow
def test_a_stop_ends_in_time_beside_a_thread_that_hangs_in_the_file(store: ServiceStore) -> None:
    """A disk that hangs under the sampler's thread takes no more of an exit's time."""
    kept = Kept(store)
    kept.take(10.0)
    kept.pass_(0.0)
    inside, over = threading.Event(), threading.Event()

    def hang(
        name: str, attributes: Mapping[str, object], *, timestamp_ns: int | None = None
    ) -> None:
        del name, attributes, timestamp_ns
        inside.set()
        over.wait(DEADLINE_S)

    store.close_due(now=START + 900, length_s=300, plan=lambda _: UNKNOWN, wait_s=1.0)
    hanging = threading.Thread(target=store.announce, args=(hang,), kwargs={"wait_s": 1.0})
    hanging.start()
    assert inside.wait(DEADLINE_S)
    stopping = threading.Thread(target=kept.keeper.stop, args=(time.monotonic() + 0.3,))
    stopping.start()
    stopping.join(DEADLINE_S / 2)
    has_stopped = not stopping.is_alive()
    over.set()
    hanging.join(DEADLINE_S)
    stopping.join(DEADLINE_S)

    assert has_stopped


@pytest.mark.slow
@pytest.mark.parametrize("keeps", ["file", "memory"])
def test_a_stop_ends_in_time_where_each_event_takes_its_time(
    store: ServiceStore, keeps: str
) -> None:
    """An archive that waits for a slow disk has the rest of the events with the next look."""
    told: list[object] = []
    never = threading.Event()

    def emit(
        name: str, attributes: Mapping[str, object], *, timestamp_ns: int | None = None
    ) -> None:
        del name, timestamp_ns
        told.append(attributes["snapshot_id"])
        never.wait(0.2)

    keeper = Keeper(
        {CPU.name: CPU},
        window_s=300,
        store=store if keeps == "file" else None,
        emit=emit,
        clock=lambda: START + 1000,
    )
    for number in range(ANNOUNCED_AT_ONCE):
        keeper.take(sample(10.0, at=START, resource=Resource("host", f"{number}")))
    begun = time.monotonic()
    keeper.stop(begun + 0.5)
    elapsed_s, in_time = time.monotonic() - begun, len(told)
    keeper.flush()

    assert elapsed_s < 0.2 * ANNOUNCED_AT_ONCE
    assert 0 < in_time < ANNOUNCED_AT_ONCE
    assert len(told) == len(set(told)) == ANNOUNCED_AT_ONCE


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_anew(store: ServiceStore, path: Path) -> None:
    """What waits is its parent's, and so is the run; what it samples itself is kept."""
    kept = Kept(store)
    kept.take(90.0, 90.0)
    child = os.fork()
    if not child:
        code = 1
        try:
            kept.keeper.after_fork()
            kept.take(90.0)
            code = len(kept.recommendations)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    kept.pass_(300.0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert [each["stats"]["sample_count"] for each in kept.snapshots()] == [3]  # type: ignore[index] # a mapping


def test_another_length_of_windows_loses_nothing(store: ServiceStore) -> None:
    """What was open is closed in windows of the new length."""
    Kept(store).take(1.0, 2.0, 3.0, 4.0)
    after = Kept(store, window_s=60.0, now=START + 120)
    after.pass_(300.0)

    assert [each["stats"]["sample_count"] for each in after.snapshots()] == [1, 2, 1]  # type: ignore[index] # a mapping


def test_another_length_of_windows_loses_nothing_where_two_end_at_once(
    store: ServiceStore,
) -> None:
    """A longer window that ends with a closed one would have its snapshot's id: what is in it came
    too late for that, and counts so in the next one, with what was recommended."""
    before = Kept(store, window_s=60.0, now=START + 250)
    before.keeper.take(sample(10.0, at=START + 250))
    before.pass_(51.0)
    for at in (100, 130, 160):
        before.keeper.take(sample(90.0, at=START + at))
    after = Kept(store, window_s=300.0, now=before.now)
    after.pass_(0.0)
    after.take(20.0)
    after.pass_(300.0)

    [first] = before.snapshots()
    [second] = after.snapshots()
    names = ("window_end", "value", "late_samples")
    assert [first[name] for name in names] == ["2027-01-15T08:05:00Z", 10.0, 0]
    assert [second[name] for name in names] == ["2027-01-15T08:10:00Z", 20.0, 3]
    assert [each["playbook_id"] for each in second["derived_actions"]] == ["scale-nodes"]  # type: ignore[attr-defined] # a list of mappings


def test_a_clock_that_jumps_closes_no_window_twice(kept: Kept) -> None:
    """An hour ahead and back: what comes for a window that was closed is late, the rest counts."""
    kept.take(10.0)
    kept.pass_(3600.0)
    kept.now = START + 100
    kept.take(20.0)
    kept.now = START + 300
    kept.take(30.0)
    kept.pass_(300.0)

    found = [(each["window_end"], each["value"], each["late_samples"]) for each in kept.snapshots()]
    assert found == [("2027-01-15T08:05:00Z", 10.0, 0), ("2027-01-15T08:10:00Z", 30.0, 1)]


def test_metric_of_another_interval_expects_as_many(store: ServiceStore) -> None:
    """An interval of the window's length expects one sample, a longer one none."""
    names = {"a": 300.0, "b": 600.0, "c": 60.0}
    kept = Kept(store, metrics={name: metric(name, interval_s=s) for name, s in names.items()})
    for name in names:
        kept.keeper.take(sample(1.0, at=START + 1, name=name))
    kept.pass_(400.0)

    found = {each["metric_id"]: each["expected_samples"] for each in kept.snapshots()}
    assert found == {"a": 1, "b": 0, "c": 5}


def test_a_window_is_a_day_at_most_and_a_second_at_least() -> None:
    """Whatever the settings say."""
    ends = []
    for window_s in (0.2, 1e9):
        kept = Kept(window_s=window_s, now=START - START % 86_400)
        kept.take(1.0)
        kept.pass_(86_400.0)
        ends += [snapshot["window_end"] for snapshot in kept.snapshots()]

    assert ends == ["2027-01-15T00:00:31Z", "2027-01-16T00:00:00Z"]


def test_a_clock_that_was_far_ahead_leaves_nothing_behind(kept: Kept) -> None:
    """A window that would be over in years is closed when the clock is right again."""
    kept.keeper.take(sample(10.0, at=START + 1e9))
    kept.pass_(10.0)

    assert [snapshot["window_end"] for snapshot in kept.snapshots()] == ["2058-09-23T09:50:00Z"]


@pytest.mark.slow
def test_open_windows_have_a_bound(
    store: ServiceStore, path: Path, captured_telemetry: Captured
) -> None:
    """What is over it is counted."""
    kept = Kept(store)
    kept.take(10.0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT ?)"
            " INSERT INTO samples SELECT 'm', 'r', 'host', ?, 'sample', 1.0, 'good', ''"
            " FROM numbers",
            (ENTRIES_MAX, kept.now),
        )
        connection.commit()
    store.forget(kept.now, wait_s=DEADLINE_S)

    with pytest.raises(RecordingError, match="windows_full"):
        kept.take(20.0)


def test_events_carry_what_the_catalog_says(kept: Kept) -> None:
    """All of it, and nothing else."""
    kept.take(90.0, 90.0, 90.0)
    kept.pass_(300.0)

    told = {name: set(attributes) for name, attributes in kept.events}
    catalog = builtin().events
    assert told == {
        name: set(catalog[name].attributes)
        for name in ("service.recommendation", "service.snapshot")
    }

"""The store: pages of snapshots, what is forgotten, and whose file it is."""

import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_metrics.service.history import PAGE_MAX, Question
from otel_metrics.service.samples import Resource
from otel_metrics.service.store import FORGOTTEN_AT_ONCE, RETENTION_S, ServiceStore
from otel_metrics.service.tables import SCHEMA
from otel_metrics.service.windows import VALUE_MAX
from otel_metrics.sqlite import Database, ForeignDatabaseError
from tests.otel_metrics.service.kept import START, Kept, metric, sample

WINDOW_S = 300.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "data" / "service.db"


@pytest.fixture
def store(path: Path) -> Iterator[ServiceStore]:
    """A store that is closed at the end."""
    made = ServiceStore(path)
    yield made
    made.close()


def filled(store: ServiceStore, windows: int = 3) -> None:
    """Keep snapshots of two metrics of two hosts, in so many windows."""
    names = ("infra.cpu_utilization", "infra.memory_utilization")
    kept = Kept(store, metrics={name: metric(name) for name in names})
    for _ in range(windows):
        for name in names:
            for host in ("a", "b"):
                resource = Resource("host", host)
                kept.keeper.take(sample(1.0, at=kept.now + 1, name=name, resource=resource))
        kept.pass_(WINDOW_S)
    kept.pass_(WINDOW_S)


def ids(records: list[dict[str, object]]) -> list[object]:
    """Return which snapshots are in a page."""
    return [record["snapshot_id"] for record in records]


def test_the_newest_come_first(store: ServiceStore) -> None:
    """All that match, each once."""
    filled(store)
    found = ids(store.page(Question(metric="infra.cpu_utilization")))

    assert found == [
        f"{host}:2027-01-15T08:{minute}:00Z:infra.cpu_utilization"
        for minute in ("15", "10", "05")
        for host in ("b", "a")
    ]


@pytest.mark.parametrize(
    ("question", "count"),
    [
        (Question(), 12),
        (Question(metric="infra.memory_utilization"), 6),
        (Question(resource="a"), 6),
        (Question(metric="infra.memory_utilization", resource="a"), 3),
        (Question(since=START + 600), 8),
        (Question(since=START + 600.5), 4),
        (Question(until=START + 600), 8),
        (Question(until=START + 599.9), 4),
        (Question(since=START + 600, until=START + 600), 4),
        (Question(limit=5), 5),
        (Question(limit=0), 1),
        (Question(metric="' OR 1=1 --"), 0),
        (Question(resource="a'; DROP TABLE metrics_snapshots; --"), 0),
        (Question(metric="infra.%"), 0),
        (Question(metric="infra.cpu_utilization\0"), 0),
    ],
)
def test_a_question_finds_what_it_asks_for(
    store: ServiceStore, question: Question, count: int
) -> None:
    """Between times a window counts by its end; what is asked for is never a part of the SQL."""
    filled(store)

    assert len(store.page(question)) == count
    assert len(store.page(Question())) == 12


@pytest.mark.parametrize("limit", [1, 5, 12, 100])
def test_pages_follow_on_each_other(store: ServiceStore, limit: int) -> None:
    """Together they are all there is, in one order, each once."""
    filled(store)
    found: list[object] = []
    after = None
    while page := store.page(Question(after=after, limit=limit)):
        found += ids(page)
        after = (str(page[-1]["window_end"]), str(page[-1]["snapshot_id"]))

    assert found == ids(store.page(Question()))
    assert len(set(found)) == 12


def test_a_page_has_a_bound(store: ServiceStore) -> None:
    """However many are asked for."""
    filled(store, windows=PAGE_MAX // 4 + 1)

    assert len(store.page(Question(limit=10_000_000))) == PAGE_MAX


RESOURCES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)
VALUES = st.floats(-VALUE_MAX, VALUE_MAX, allow_nan=False)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(resource=RESOURCES, values=st.lists(VALUES, min_size=1, max_size=9))
def test_a_row_is_the_record_that_was_emitted(
    tmp_path: Path, resource: str, values: list[float]
) -> None:
    """Whatever the resource is called, and whatever the values are."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        store = ServiceStore(Path(folder) / "service.db")
        kept = Kept(store)
        kept.take(*values, resource=Resource("host", resource))
        kept.pass_(WINDOW_S)
        rows = store.page(Question(resource=resource))
        store.close()

    assert rows == kept.snapshots()


def test_the_table_is_for_everybody_to_read(store: ServiceStore, path: Path) -> None:
    """By plain SQL, with plain columns."""
    filled(store, windows=1)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT resource_id, window_end, avg, sample_count, good_samples, derived_actions"
            " FROM metrics_snapshots WHERE metric_id = 'infra.cpu_utilization' ORDER BY 1"
        ).fetchall()

    assert rows == [
        ("a", "2027-01-15T08:05:00Z", 1.0, 1, 1, "[]"),
        ("b", "2027-01-15T08:05:00Z", 1.0, 1, 1, "[]"),
    ]


def test_the_file_is_the_owners_alone(store: ServiceStore, path: Path) -> None:
    """And so is the folder that was made for it."""
    filled(store, windows=1)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """It is no store, and is not written."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 7")
        other.execute("CREATE TABLE things (name TEXT)")
    before = path.read_bytes()

    with pytest.raises(ForeignDatabaseError):
        ServiceStore(path).latest()
    assert path.read_bytes() == before


def test_a_file_of_an_earlier_release_is_gone_on_with(store: ServiceStore, path: Path) -> None:
    """What was open in it counts, although it does not say who sampled."""
    earlier = Database(path, replace(SCHEMA, migrations=SCHEMA.migrations[:1]))
    with earlier.write() as connection:
        connection.execute(
            "INSERT INTO samples VALUES ('infra.cpu_utilization', 'a', 'host', ?, 'sample', 1, '')",
            (START + 10,),
        )
    earlier.close()
    kept = Kept(store, now=START + 10)
    kept.take(3.0, resource=Resource("host", "a"))
    kept.pass_(WINDOW_S)

    [snapshot] = kept.snapshots()
    assert snapshot["value"] == 2.0


def test_old_snapshots_are_removed_a_little_at_a_time(store: ServiceStore) -> None:
    """The oldest first; younger ones stay."""
    windows = FORGOTTEN_AT_ONCE // 4 + 10
    filled(store, windows=windows)
    now = START + 1000 * WINDOW_S + RETENTION_S
    counts = []
    with closing(sqlite3.connect(store.path)) as connection:
        for at in (START, now, now, now):
            store.forget(at, wait_s=30.0)
            counts += connection.execute("SELECT count(*) FROM metrics_snapshots").fetchone()

    assert counts == [4 * windows, 4 * windows - FORGOTTEN_AT_ONCE, 0, 0]


def test_a_resource_that_is_silent_for_long_is_forgotten(store: ServiceStore) -> None:
    """The newest values are of what is there."""
    filled(store, windows=1)
    before = len(store.latest())
    store.forget(START + RETENTION_S, wait_s=30.0)

    assert (before, store.latest()) == (4, [])

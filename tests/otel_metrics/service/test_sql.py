"""What a query of a real database gives, on SQLite and on PostgreSQL, and what it cannot do."""

import logging
import math
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.dialects import registry as dialects

from otel_metrics.service.readings import RESOURCES_MAX, Read, SourceError
from otel_metrics.service.sources import SQL_URL
from otel_metrics.service.sql import sql_reader
from otel_metrics.testing import Captured
from tests.e2e.services import PATIENCE_S, until
from tests.otel_metrics.service.sampling import ERRORS, Kept, declared, sampling
from tests.postgres import PASSWORD, Postgres

SCHEMA = """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    started_at TIMESTAMP,
    finished_at TIMESTAMP
);
"""
BY_QUEUE = "SELECT queue, COUNT(*) FROM tasks WHERE status = 'pending' GROUP BY queue"
ENDLESS = (
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
    "SELECT COUNT(*) FROM n WHERE x < 0"
)
WRITES = [
    "DELETE FROM tasks",
    "INSERT INTO tasks (id, queue, status, created_at) VALUES (9, 'x', 'pending', '2026-01-01')",
    "UPDATE tasks SET status = 'done'",
    "DROP TABLE tasks",
    "CREATE TABLE other (id INTEGER)",
    "SELECT 1; DELETE FROM tasks",
    "SELECT 1; COMMIT; DELETE FROM tasks",
    "COMMIT",
    "WITH gone AS (DELETE FROM tasks RETURNING id) SELECT COUNT(*) FROM gone",
    "SELECT 1 FROM tasks FOR UPDATE",
    "SELECT id INTO other FROM tasks",
    "SELECT set_config('transaction_read_only', 'off', true)",
]


class Database:
    """A database with the tables of tasks.

    Attributes:
        url: where a service finds it.
        execute: changes it, or asks it, as another program does.
    """

    def __init__(self, url: str, execute: Callable[..., list[tuple[object, ...]]]) -> None:
        self.url = url
        self.execute = execute

    def add(self, queue: str, *, age_s: float = 0, status: str = "pending") -> None:
        """Add a task that was created some time ago."""
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        made = f"'{at:%Y-%m-%d %H:%M:%S.%f}'"
        self.execute(
            "INSERT INTO tasks (id, queue, status, created_at) "
            f"SELECT COALESCE(MAX(id), 0) + 1, '{queue}', '{status}', {made} FROM tasks"
        )

    def reader(self, query: str, timeout_s: float = 20.0) -> Read:
        """Return what a source asks of it."""
        return sql_reader(SQL_URL, self.url, query, timeout_s)


def on_sqlite(folder: Path) -> Database:
    """Make a SQLite file."""
    path = folder / "shop's tasks?.db"

    def execute(statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(path)
        try:
            with connection:
                return connection.execute(statement).fetchall()
        finally:
            connection.close()

    execute(SCHEMA)
    return Database(f"sqlite:///{str(path).replace('?', '%3F')}", execute)


def on_postgres(server: Postgres) -> Database:
    """Make a database of a PostgreSQL server."""
    name = server.database(SCHEMA)

    def execute(statement: str) -> list[tuple[object, ...]]:
        with server.connect(name) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    return Database(server.url(name), execute)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=[pytest.mark.slow, pytest.mark.component("postgres")]),
    ]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database of each kind that is held to reading."""
    if request.param == "sqlite":
        return on_sqlite(tmp_path)
    return on_postgres(request.getfixturevalue("postgres"))


def failure(read: Read) -> SourceError:
    """Return why a source gives nothing."""
    with pytest.raises(SourceError) as raised:
        read()
    return raised.value


def test_rows_are_values_by_resource(database: Database) -> None:
    """The first column says whose the number in the second is."""
    for queue in ("mail", "mail", "orders"):
        database.add(queue)

    assert database.reader(BY_QUEUE)() == {"mail": 2, "orders": 1}


def test_one_number_is_the_value(database: Database) -> None:
    """Of the metric's only resource."""
    database.add("mail")

    assert database.reader("SELECT COUNT(*) FROM tasks")() == {None: 1}


def test_a_share_of_nothing_is_nothing(database: Database) -> None:
    """A database says NULL for it."""
    query = "SELECT 100.0 * SUM(CASE WHEN status = 'done' THEN 1 ELSE 0 END) / COUNT(*) FROM tasks"
    share = database.reader(query.replace("COUNT(*)", "NULLIF(COUNT(*), 0)"))

    assert share() == {None: None}
    database.add("mail", status="done")
    assert float(str(share()[None])) == 100.0


def test_the_age_of_the_oldest_is_in_seconds(database: Database) -> None:
    """Of a column that is called so, whatever the server's time zone is."""
    database.add("mail", age_s=90)
    database.add("mail", age_s=10)
    read = database.reader("SELECT queue, MIN(created_at) AS oldest_at FROM tasks GROUP BY queue")

    assert 90 <= float(str(read()["mail"])) < 120


def test_times_of_the_question_are_bound(database: Database) -> None:
    """`:since` is five minutes before `:now`, both in UTC."""
    database.add("mail", age_s=280)
    database.add("mail", age_s=320)
    database.add("mail", age_s=-3600)
    query = "SELECT COUNT(*) FROM tasks WHERE created_at >= :since AND created_at <= :now"

    assert database.reader(query)() == {None: 1}


@pytest.mark.parametrize("statement", WRITES)
def test_a_query_that_writes_fails_and_changes_nothing(database: Database, statement: str) -> None:
    """Not even one that ends the transaction first."""
    database.add("mail")
    before = database.execute("SELECT * FROM tasks")

    assert failure(database.reader(statement)).kind == "query"
    assert database.execute("SELECT * FROM tasks") == before
    assert failure(database.reader("SELECT * FROM other")).kind == "query"


def test_a_query_that_takes_too_long_is_ended(database: Database) -> None:
    """Within the source's timeout, and the next question is answered."""
    began = time.monotonic()

    assert failure(database.reader(ENDLESS, timeout_s=0.3)).kind == "timeout"
    assert time.monotonic() - began < 20
    assert database.reader("SELECT 1")() == {None: 1}


def test_of_rows_without_end_a_few_are_taken(database: Database) -> None:
    """A table of millions that nobody grouped costs no memory; so many resources are refused."""
    rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, 1 FROM n"

    assert len(database.reader(rows)()) == RESOURCES_MAX + 1


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELECT COUNT(*) FROM no_such_table", "query"),
        ("SELECT COUNT(*) FROM tasks WHERE id = :unknown", "query"),
        ("SELECT 1, 2, 3", "query"),
        ("SELECT id FROM tasks", "no_rows"),
        ("SELECT 1 UNION ALL SELECT 2", "ambiguous"),
        ("SELECT 'mail', 1 UNION ALL SELECT 'mail', 2", "ambiguous"),
        ("", "query"),
    ],
)
def test_what_gives_no_number_is_refused(database: Database, query: str, kind: str) -> None:
    """A query that fails, and an answer of another shape."""
    assert failure(database.reader(query)).kind == kind


def test_a_queue_without_tasks_has_no_value(database: Database) -> None:
    """No rows of resource and number are no error."""
    assert database.reader(BY_QUEUE)() == {}


def test_a_colon_in_text_is_no_parameter(database: Database) -> None:
    """Nor is a cast of PostgreSQL's."""
    assert database.reader("SELECT COUNT(*) FROM tasks WHERE queue = '12:30'")() == {None: 0}


def test_samples_of_a_real_database(captured_telemetry: Captured, database: Database) -> None:
    """They follow what another program writes, in their bands."""
    metric = declared(type="sql", query=BY_QUEUE, timeout_s=20.0)
    for _ in range(3):
        database.add("mail")
    with sampling(metric, variables={SQL_URL: database.url}) as kept:
        until(lambda: kept.values() == {"mail": 3})
        database.execute("UPDATE tasks SET status = 'running'")
        until(lambda: kept.values() == {})

    assert kept.samples[0].band == "good"
    assert captured_telemetry.points(ERRORS) == []


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A mistyped path would look like a database without tasks."""
    path = tmp_path / "typo.db"
    read = sql_reader(SQL_URL, f"sqlite:///{path}", BY_QUEUE, 5.0)

    found = failure(read)
    assert (found.kind, str(found)) == (
        "connection",
        (
            f"{SQL_URL}=sqlite:///{path}: unable to open database file; "
            "see that it is there, and that this service may read it"
        ),
    )
    assert not path.exists()


def test_what_a_query_lacks_is_said_with_its_database(tmp_path: Path) -> None:
    """Which of several it is, and where the question can be mended."""
    path = tmp_path / "tasks.db"
    sqlite3.connect(path).close()
    path.touch()
    read = sql_reader(SQL_URL, f"sqlite:///{path}", BY_QUEUE, 5.0)

    assert str(failure(read)) == (
        f"{SQL_URL}=sqlite:///{path}: no such table: tasks; mend the metric's `query`, or the "
        "database"
    )


def test_no_other_file_is_attached(tmp_path: Path) -> None:
    """Which a query of a file that is only read could still make."""
    database = on_sqlite(tmp_path)

    assert failure(database.reader(f"ATTACH '{tmp_path / 'new.db'}' AS new")).kind == "query"
    assert not (tmp_path / "new.db").exists()


def test_a_text_of_a_gigabyte_is_not_made(tmp_path: Path) -> None:
    """SQLite would, within one step, in which nothing interrupts it."""
    database = on_sqlite(tmp_path)

    assert "too big" in str(failure(database.reader("SELECT length(zeroblob(900000000))")))


def test_a_file_that_another_program_writes_to_is_read(tmp_path: Path) -> None:
    """Also one in WAL mode, whose writer is in the midst of a transaction."""
    database = on_sqlite(tmp_path)
    database.execute("PRAGMA journal_mode=WAL")
    database.add("mail")
    writer = sqlite3.connect(tmp_path / "shop's tasks?.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM tasks")
    try:
        assert database.reader(BY_QUEUE)() == {"mail": 1}
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url s3cret", "not a database's URL"),
        ("mysql+pymysql://reader:s3cret@db.example/shop?ssl_key=s3cret", "otel_trusted=true"),
        ("mysql+pymysql://reader:s3cret@db.example/shop?otel_trusted=true", "install"),
        ("nonesuch://reader:s3cret@db.example/shop?otel_trusted=true", "install"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    ],
)
def test_a_url_of_no_use_is_said_with_a_remedy_and_without_its_secret(
    captured_telemetry: Captured, caplog: pytest.LogCaptureFixture, url: str, said: str
) -> None:
    """One line, though it is asked again and again; nothing else is sampled from it."""
    metric = declared(type="sql", query="SELECT 1")
    with sampling(metric, variables={SQL_URL: url}) as kept:
        until(lambda: len(kept.missed) >= 3)

    assert kept.reasons() == {"configuration"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert SQL_URL in line
    assert said in line
    assert "s3cret" not in line


def test_another_database_is_asked_when_it_is_trusted(tmp_path: Path) -> None:
    """Here SQLite's own, under a name that we know nothing of."""
    dialects.register("unknown", "sqlalchemy.dialects.sqlite.pysqlite", "dialect")
    database = on_sqlite(tmp_path)
    database.add("mail")
    url = database.url.replace("sqlite:", "unknown:") + "?otel_trusted=true"

    assert sql_reader(SQL_URL, url, BY_QUEUE, 5.0)() == {"mail": 1}


def test_a_metric_may_have_a_database_of_its_own(
    captured_telemetry: Captured, tmp_path: Path
) -> None:
    """Whose URL is in a variable that its entry names."""
    database = on_sqlite(tmp_path)
    metric = declared(type="sql", query="SELECT 7", url_variable="BILLING_DB_URL")
    elsewhere: Mapping[str, str] = {SQL_URL: "sqlite:////nowhere", "BILLING_DB_URL": database.url}
    with sampling(metric, variables=elsewhere) as kept:
        until(lambda: kept.samples)

    assert kept.samples[0].value == 7


def test_nothing_is_asked_without_a_url(captured_telemetry: Captured) -> None:
    """The starter queries of the catalog are nobody's who has no database."""
    metric = declared(type="sql", query="SELECT 1")
    own = declared("infra.pod_ready_ratio")
    with sampling(metric, own) as kept:
        pass

    assert kept.missed == []
    assert kept.samples == []


@pytest.mark.slow
@pytest.mark.component("postgres")
def test_a_wrong_password_is_no_connection(
    captured_telemetry: Captured, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in one line without the password."""
    metric = declared(type="sql", query="SELECT 1", timeout_s=20.0)
    url = postgres.url(password="wr0ng-s3cret")
    with caplog.at_level(logging.DEBUG), sampling(metric, variables={SQL_URL: url}) as kept:
        until(lambda: kept.missed)

    assert kept.reasons() == {"connection"}
    assert "password authentication failed" in caplog.text
    assert "; see that it is there, and that" in caplog.text
    assert "wr0ng-s3cret" not in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.slow
@pytest.mark.component("postgres")
def test_no_file_and_no_program_of_the_server_is_reached(postgres: Postgres) -> None:
    """COPY is allowed in a transaction that only reads."""
    name, made = postgres.database(), postgres.folder / "made"
    for to in (f"'{made}'", f"PROGRAM 'touch {made}'"):
        read = sql_reader(SQL_URL, postgres.url(name), f"COPY (SELECT 1) TO {to}", 20.0)
        assert failure(read).kind == "query"

    assert not made.exists()


@pytest.mark.slow
@pytest.mark.component("postgres")
def test_a_server_that_hangs_shows_as_missing_data_and_comes_back(
    captured_telemetry: Captured, postgres: Postgres, tmp_path: Path
) -> None:
    """While it is silent there is no value, another database is sampled on, and no restart is
    needed."""
    metric = declared(type="sql", query="SELECT 7", timeout_s=5.0)
    other = declared("api.saturation", type="sql", query="SELECT 1", url_variable="OTHER_DB_URL")
    urls = {SQL_URL: postgres.url(), "OTHER_DB_URL": on_sqlite(tmp_path).url}
    with sampling(metric, other, variables=urls) as kept:
        until(lambda: kept.values() == {"executor": 7})
        with postgres.stopped():
            until(lambda: (metric.name, "executor", "timeout") in kept.missed)
            assert kept.values() == {}
            assert kept.values(other.name) == {"api": 1}
        until(lambda: kept.values() == {"executor": 7})

    assert {name for name, _, _ in kept.missed} == {metric.name}


@pytest.mark.slow
@pytest.mark.component("postgres")
def test_children_that_are_forked_while_a_database_is_asked_disturb_nobody(
    captured_telemetry: Captured, postgres: Postgres
) -> None:
    """Each asks on a connection of its own, and its end closes none of its parent's."""
    metric = declared(type="sql", query="SELECT 7 FROM pg_sleep(0.03)", timeout_s=20.0)
    with sampling(metric, variables={SQL_URL: postgres.url()}) as kept:
        until(lambda: kept.samples)
        for _ in range(5):
            with kept.sampler.at_work:
                child = os.fork()
            if child == 0:
                _sample_in_a_child(kept)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sampled = len(kept.samples)
        until(lambda: len(kept.samples) >= sampled + 3)

    assert kept.missed == []


def _sample_in_a_child(kept: Kept) -> None:
    signal.alarm(int(PATIENCE_S))
    status = 1
    try:
        kept.samples.clear()
        kept.sampler.after_fork()
        until(lambda: len(kept.samples) >= 2)
        status = len(kept.missed)
    finally:
        os._exit(status)


@pytest.mark.slow
@pytest.mark.component("postgres")
def test_numbers_of_postgres_are_numbers(captured_telemetry: Captured, postgres: Postgres) -> None:
    """NUMERIC too; what it calls NaN is counted as no number."""
    metric = declared(type="sql", query="SELECT 2.5::numeric")
    broken = declared("learning.sessions_started", type="sql", query="SELECT 'NaN'::float8")
    with sampling(metric, broken, variables={SQL_URL: postgres.url()}) as kept:
        until(lambda: kept.samples and kept.missed)

    assert math.isclose(kept.samples[0].value, 2.5)
    assert {each[::2] for each in kept.missed} == {(broken.name, "not_a_number")}


@pytest.mark.slow
@pytest.mark.component("postgres")
def test_times_with_a_zone_are_understood(postgres: Postgres) -> None:
    """A TIMESTAMPTZ of any session's zone compares and ages as UTC does."""
    query = "SELECT MIN(at) AS oldest_at FROM (SELECT now() - interval '1 minute' AS at) AS one"
    fresh = f"{query} WHERE at >= :since AND at <= :now"
    read = sql_reader(SQL_URL, postgres.url(), fresh, 20.0)

    assert 59 <= float(str(read()[None])) < 90

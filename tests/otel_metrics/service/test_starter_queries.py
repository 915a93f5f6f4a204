"""The catalog's own queries, on the schema of the examples, while a worker works on it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy
from sqlalchemy import make_url

from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import Metric
from otel_metrics.service.sources import SQL_URL
from otel_metrics.testing import Captured
from tests.e2e.services import PATIENCE_S, until
from tests.otel_metrics.service.sampling import ERRORS, sampling
from tests.postgres import Postgres

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[3] / "examples/service_telemetry"
WORKER = EXAMPLE / "worker.py"
STARTERS = {
    name: metric
    for name, metric in builtin().metrics.items()
    if metric.source is not None and metric.source.type == "sql"
}
TIMEOUT_S = 20.0


@dataclass
class Shop:
    """A database with the schema of the examples."""

    url: str

    def change(self, *statements: str) -> None:
        """Change it as the service's other programs do."""
        url = make_url(self.url)
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sqlalchemy.text(statement.replace(":", r"\:")))
        engine.dispose()

    def run(self, *words: str) -> str:
        """Run the example's program to its end."""
        command = [sys.executable, str(WORKER), words[0], self.url, *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def working(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Let a worker work meanwhile."""
        command = [sys.executable, str(WORKER), "work", self.url, *words]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=pytest.mark.component("postgres"))]
)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A database of each kind, prepared by the example's own program."""
    if request.param == "sqlite":
        made = Shop(f"sqlite:///{tmp_path / 'tasks.db'}")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = Shop(server.url(server.database()))
    made.run("prepare")
    return made


def often(*names: str) -> list[Metric]:
    """Return metrics of the catalog, sampled more often than a person would."""
    return [_often(STARTERS[name]) for name in names or STARTERS]


def _often(metric: Metric) -> Metric:
    assert metric.source is not None
    source = msgspec.structs.replace(metric.source, interval_s=0.2, timeout_s=TIMEOUT_S)
    return msgspec.structs.replace(metric, source=source)


def ago(seconds: float) -> str:
    """Return a time as the database keeps it, quoted."""
    return f"'{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S.%f}'"


def test_an_empty_database_has_counts_and_no_shares(
    captured_telemetry: Captured, shop: Shop
) -> None:
    """A share of nothing is not published, and no query fails."""
    with sampling(*often(), variables={SQL_URL: shop.url}) as kept:
        names = {"learning.sessions_started", "learning.governance_blocks"}
        names |= {"autonomy.approvals_pending"}
        until(lambda: {sample.metric for sample in kept.samples} >= names)
        until(lambda: {metric for metric, _, _ in kept.missed} >= SHARES)

    assert {sample.metric for sample in kept.samples} == names
    assert {sample.value for sample in kept.samples} == {0.0}
    assert captured_telemetry.points(ERRORS) == []


SHARES = {
    "learning.sources_verified",
    "learning.sandbox_pass_rate",
    "learning.source_freshness_ratio",
    "autonomy.plan_success_rate",
    "autonomy.autonomy_ratio",
    "autonomy.rollback_rate",
}


def test_each_starter_query_measures_what_its_metric_says(
    captured_telemetry: Captured, shop: Shop
) -> None:
    """On both databases alike; what is older than five minutes does not count."""
    now, old = ago(10), ago(400)
    shop.change(
        f"INSERT INTO tasks VALUES (1, 'mail', 'pending', {ago(200)}, NULL, NULL)",
        f"INSERT INTO tasks VALUES (2, 'mail', 'pending', {now}, NULL, NULL)",
        f"INSERT INTO tasks VALUES (3, 'orders', 'done', {old}, {old}, {old})",
        f"INSERT INTO workers VALUES ('a', 'mail', true, {now}), ('b', 'mail', false, {now})",
        f"INSERT INTO workers VALUES ('c', 'mail', true, {old})",
        f"INSERT INTO sessions VALUES (1, {now}), (2, {now}), (3, {old})",
        f"INSERT INTO sources VALUES (1, 'verified', true, {now}), (2, 'blocked', false, {now})",
        f"INSERT INTO sources VALUES (3, 'verified', false, {now}), (4, 'rejected', false, {now})",
        f"INSERT INTO sandbox_runs VALUES (1, true, {now}), (2, true, {now}), (3, false, {old})",
        f"INSERT INTO plans VALUES (1, 'succeeded', {now}), (2, 'rolled_back', {now})",
        f"INSERT INTO plans VALUES (3, 'failed', {now}), (4, 'succeeded', {now})",
        "INSERT INTO plans VALUES (5, 'running', NULL)",
        f"INSERT INTO actions VALUES (1, true, {now}), (2, true, {now}), (3, true, {now})",
        f"INSERT INTO actions VALUES (4, false, {now})",
        f"INSERT INTO approvals VALUES (1, 'pending', {old}), (2, 'approved', {now})",
    )
    with sampling(*often(), variables={SQL_URL: shop.url}) as kept:
        until(lambda: all(kept.values(name) for name in STARTERS))
        found = {name: dict(kept.values(name)) for name in STARTERS}

    ages = found.pop("executor.task_latency")
    assert 200 <= ages["mail"] < 290
    assert 0 <= ages["orders"] < 1
    assert found == {
        "executor.queue_depth": {"mail": 2, "orders": 0},
        "executor.worker_utilization": {"mail": 50},
        "learning.sessions_started": {"learning": 2},
        "learning.sources_verified": {"learning": 50},
        "learning.sandbox_pass_rate": {"learning": 100},
        "learning.governance_blocks": {"learning": 1},
        "learning.source_freshness_ratio": {"learning": 25},
        "autonomy.plan_success_rate": {"autonomy": 50},
        "autonomy.approvals_pending": {"autonomy": 1},
        "autonomy.autonomy_ratio": {"autonomy": 75},
        "autonomy.rollback_rate": {"autonomy": 25},
    }
    assert captured_telemetry.points(ERRORS) == []


def test_a_queue_that_grows_and_is_worked_off_is_seen(
    captured_telemetry: Captured, shop: Shop
) -> None:
    """Tasks that wait are critical until a real worker has finished them; while it works it is
    busy."""
    depth, busy = "executor.queue_depth", "executor.worker_utilization"
    shop.run("create", "--tasks", "80")
    with sampling(*often(depth, busy), variables={SQL_URL: shop.url}) as kept:
        until(lambda: kept.values(depth) == {"emails": 80})
        with shop.working("--task-s", "0.01"):
            until(lambda: kept.values(depth) == {"emails": 0})
            until(lambda: kept.values(busy) == {"emails": 0})

    bands = [sample.band for sample in kept.samples if sample.metric == depth]
    assert (bands[0], bands[-1]) == ("critical", "good")
    assert captured_telemetry.points(ERRORS) == []


def test_two_workers_take_no_task_twice(shop: Shop) -> None:
    """Each finishes what it took."""
    shop.run("create", "--tasks", "40")
    command = [sys.executable, str(WORKER), "work", shop.url, "--until-done", "--task-s", "0.005"]
    both = [
        subprocess.Popen([*command, "--name", name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]

    said = [process.communicate(timeout=60)[0].split() for process in both]
    assert sum(int(words[2]) for words in said) == 40

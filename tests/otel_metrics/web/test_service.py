"""`service_routes()`: newest values, snapshots and the machine, for those who may ask."""

import asyncio
import doctest
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.applications import Starlette

from otel_exporter_prometheus import SettingError
from otel_metrics.catalog.loader import builtin
from otel_metrics.service import configured
from otel_metrics.service.keeper import Keeper
from otel_metrics.service.samples import Resource, Sample
from otel_metrics.service.store import ServiceStore
from otel_metrics.web import service, service_routes
from tests.otel_metrics.web.sockets import running

TOKEN = "0123456789abcdef"
PATHS = ["/api/metrics", "/api/metrics/snapshots", "/api/hardware/status"]
CPU = "infra.cpu_utilization"
SERVICE = """
import time
from otel_metrics.catalog.loader import builtin
from otel_metrics.service import configured
from otel_metrics.service.keeper import Keeper
from otel_metrics.service.samples import Resource, Sample
from otel_metrics.service.store import ServiceStore
keeper = Keeper(builtin().metrics, window_s=1, store=ServiceStore("service.db"))
keeper.start()
configured.use(keeper)
keeper.take(Sample(metric="infra.cpu_utilization", resource=Resource("host", "h"), value=90.0,
                   observed_at=time.time(), band="critical"))
from otel_metrics.web import service_routes
"""
STARLETTE = """
from starlette.applications import Starlette
app = Starlette(routes=service_routes())
serve(app)
"""
FASTAPI = """
from fastapi import FastAPI
app = FastAPI()
app.router.routes.extend(service_routes())
serve(app)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ServiceStore]:
    """The file of a service."""
    made = ServiceStore(tmp_path / "service.db")
    yield made
    made.close()


@pytest.fixture
def keeper(store: ServiceStore) -> Iterator[Keeper]:
    """Service telemetry that runs in this process."""
    made = Keeper(builtin().metrics, window_s=60, store=store)
    configured.use(made)
    yield made
    configured.use(None)


def taken(
    keeper: Keeper, value: float, *, ago_s: float = 0.0, host: str = "h", metric: str = CPU
) -> None:
    """Let a value be sampled."""
    keeper.take(
        Sample(
            metric=metric,
            resource=Resource("host", host),
            value=value,
            observed_at=time.time() - ago_s,
            band="critical",
        )
    )


def ask(path: str, *, method: str = "GET", peer: str = "127.0.0.1", **more: Any) -> httpx.Response:
    """Ask an application with nothing but our routes."""
    arguments = more.pop("arguments", {})
    app = more.pop("app", None) or Starlette(routes=service_routes(**arguments))

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)

    return asyncio.run(request())


def of_cpu(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return what an answer says of the CPU."""
    return [each for each in answer.json()["metrics"] if each["metric_id"] == CPU]


@pytest.mark.slow
@pytest.mark.parametrize("framework", [STARLETTE, FASTAPI], ids=["starlette", "fastapi"])
def test_a_service_answers_for_itself(tmp_path: Path, framework: str) -> None:
    """With values, snapshots of windows that are over, and the machine's state."""
    deadline = time.monotonic() + 30
    with running(tmp_path, SERVICE + framework) as served:

        def got(path: str) -> dict[str, Any]:
            url = f"http://127.0.0.1:{served.port}{path}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)  # type: ignore[no-any-return] # of objects alone

        while not (snapshots := got("/api/metrics/snapshots")["snapshots"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        metrics, hardware = got("/api/metrics"), got("/api/hardware/status")

    assert [(each["metric_id"], each["value"]) for each in snapshots] == [(CPU, 90.0)]
    assert [e["resource"]["id"] for e in metrics["metrics"] if e["metric_id"] == CPU] == ["h"]
    assert [each["metric_id"] for each in hardware["cpu"]] == [CPU]


def test_the_newest_values_are_shown(keeper: Keeper) -> None:
    """With band and age; what is absent says so."""
    taken(keeper, 90.0, ago_s=10)
    taken(keeper, 80.0, ago_s=1000, host="old")
    keeper.missed(CPU, Resource("host", "silent"), "no_value")
    answer = ask("/api/metrics")

    newest, old, silent = of_cpu(answer)
    assert newest.pop("age_seconds") == pytest.approx(10, abs=8)
    assert newest.pop("observed_at").endswith("Z")
    assert newest == {
        "metric_id": CPU,
        "unit": "percent",
        "resource": {"scope": "host", "id": "h"},
        "value": 90.0,
        "band": "critical",
        "absent": None,
    }
    assert [(each["value"], each["absent"]) for each in (old, silent)] == [
        (None, "stale"),
        (None, "no_value"),
    ]


def test_every_metric_with_a_source_is_shown(keeper: Keeper) -> None:
    """Also one that nobody has sampled."""
    shown = {each["metric_id"]: each["absent"] for each in ask("/api/metrics").json()["metrics"]}

    sourced = [name for name, metric in builtin().metrics.items() if metric.source is not None]
    assert shown == dict.fromkeys(sourced, "never_sampled")


def test_the_machine_is_shown(keeper: Keeper) -> None:
    """What it is, and its figures."""
    taken(keeper, 90.0)
    taken(keeper, 50.0, metric="infra.memory_utilization")
    taken(keeper, 60.0, metric="infra.disk_usage", host="/")
    status = ask("/api/hardware/status").json()

    assert [status[name][0]["value"] for name in ("cpu", "memory", "disk")] == [90.0, 50.0, 60.0]
    assert status["disk"][0]["resource"]["id"] == "/"
    host = status["host"]
    assert host["memory_bytes"] == psutil.virtual_memory().total
    assert host["cpus"] == psutil.cpu_count()
    assert list(host) == [
        *("name", "system", "release", "architecture", "started_at"),
        *("cpus", "cpu_limit", "memory_bytes", "memory_limit_bytes"),
    ]


def test_snapshots_come_in_pages(keeper: Keeper) -> None:
    """Each page names the next; the last none."""
    for host in ("a", "b", "c"):
        taken(keeper, 1.0, ago_s=200, host=host)
    keeper.flush()
    first = ask("/api/metrics/snapshots?limit=2").json()
    second = ask(f"/api/metrics/snapshots?limit=2&cursor={first['next_cursor']}").json()

    assert [each["resource_id"] for each in first["snapshots"]] == ["c", "b"]
    assert [each["resource_id"] for each in second["snapshots"]] == ["a"]
    assert second["next_cursor"] is None


def test_snapshots_are_filtered(keeper: Keeper) -> None:
    """By metric and resource, and by when their window ended."""
    for host in ("a", "b"):
        taken(keeper, 1.0, ago_s=200, host=host)
    keeper.flush()

    def found(query: str) -> list[str]:
        answer = ask(f"/api/metrics/snapshots?{query}").json()
        return [each["resource_id"] for each in answer["snapshots"]]

    assert found("resource=a") == ["a"]
    assert found(f"metric={CPU}") == ["b", "a"]
    assert found("metric=infra.disk_usage") == []
    assert found("until=2020-01-01T00:00:00Z") == []
    assert found("since=2020-01-01T00:00:00Z") == ["b", "a"]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/api/metrics/snapshots?limit=0", "limit=0: is no number from 1 to 1000"),
        ("/api/metrics?limit=1", "this page takes no parameters"),
        ("/api/hardware/status?x", "this page takes no parameters"),
    ],
)
def test_what_is_not_understood_is_refused(keeper: Keeper, path: str, error: str) -> None:
    """In words, as JSON."""
    answer = ask(path)

    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize("path", PATHS)
def test_the_answer_is_json_that_nobody_keeps(keeper: Keeper, path: str) -> None:
    """For HEAD, without a body."""
    answer, head = ask(path), ask(path, method="HEAD")

    assert answer.status_code == head.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert head.content == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(keeper: Keeper, method: str) -> None:
    """The pages are read."""
    answer = ask("/api/metrics", method=method)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PATHS)
def test_only_who_is_let_in_is_answered(keeper: Keeper, path: str, tmp_path: Path) -> None:
    """By the same rules as the metrics page: this machine, or whoever has a token."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(TOKEN)
    secured = {"bearer_token_file": str(file)}
    right = {"Authorization": f"Bearer {TOKEN}"}

    assert ask(path, peer="192.0.2.1").status_code == 403
    assert ask(path, headers={"Host": "evil.example"}).status_code == 421
    assert ask(path, headers={"Origin": "http://evil.example"}).status_code == 403
    assert ask(path, arguments=secured).status_code == 401
    assert ask(path, arguments=secured, headers=right, peer="192.0.2.1").status_code == 200


def test_a_file_that_cannot_be_used_raises_where_it_is_an_argument(tmp_path: Path) -> None:
    """A variable's closes the routes, and the log names them."""
    with pytest.raises(SettingError, match="absent"):
        service_routes(bearer_token_file=tmp_path / "absent")


def test_a_variable_that_is_unsafe_closes_the_routes(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log names them."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE", "/absent")

    assert ask("/api/metrics").status_code == 503
    [record] = caplog.records
    assert record.message.endswith(f"the routes {', '.join(PATHS[:2])} and {PATHS[2]} stay closed")


@pytest.mark.parametrize("path", PATHS)
def test_without_service_telemetry_the_answer_says_what_to_do(path: str) -> None:
    """It may start later than the routes."""
    answer = ask(path)

    assert answer.status_code == 503
    assert "OTEL_PYTHON_METRICS_SERVICE_DB" in answer.json()["error"]


def test_without_a_file_there_are_values_and_no_snapshots() -> None:
    """The answer says what would keep them."""
    configured.use(Keeper(builtin().metrics, window_s=60))
    try:
        taken(configured.current(), 90.0)
        metrics, snapshots = ask("/api/metrics"), ask("/api/metrics/snapshots")
    finally:
        configured.use(None)

    assert [each["value"] for each in of_cpu(metrics)] == [90.0]
    assert (snapshots.status_code, snapshots.json()) == (
        503,
        {"error": "no snapshots are kept: set OTEL_PYTHON_METRICS_SERVICE_DB to a file for them"},
    )


def test_a_file_that_cannot_be_read_is_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it lies is in the log alone."""
    (tmp_path / "taken").write_text("")
    broken = ServiceStore(tmp_path / "taken" / "service.db")
    configured.use(Keeper(builtin().metrics, window_s=60, store=broken))
    try:
        answers = [ask(path) for path in PATHS]
    finally:
        configured.use(None)

    assert {answer.status_code for answer in answers} == {503}
    assert not any(str(tmp_path) in answer.text for answer in answers)
    assert str(tmp_path) in caplog.text


def test_the_example_holds() -> None:
    """What the docstring shows is so."""
    assert doctest.testmod(service).failed == 0


def test_a_file_that_cannot_be_read_is_no_log_line_a_request(
    keeper: Keeper, store: ServiceStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever looks again and again fills no log; nor is anybody told the path."""
    taken(keeper, 90.0)
    store.close()
    Path(store.path).unlink()
    Path(store.path).mkdir()
    app = Starlette(routes=service_routes())
    answers = [ask("/api/metrics", app=app) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503] * 3
    assert store.path not in answers[0].text
    assert len(caplog.records) == 1

"""`/ws/sovereignty` of `routes()`: it shows what a service keeps, or says why it shows nothing."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from otel_metrics.sovereignty import SovereigntyStore
from tests.otel_metrics.web.sockets import Client, Connect, running

STARLETTE = """
from starlette.applications import Starlette
from otel_metrics.web import routes
app = Starlette(routes=routes(ARGUMENTS))
"""
FASTAPI = """
from fastapi import FastAPI
from otel_metrics.web import routes
app = FastAPI()
app.router.routes.extend(routes(ARGUMENTS))
"""
WITH_STORE = "sovereignty_db='store.db'"
LOAD = """
import time
from otel_metrics.sovereignty import SovereigntyStore
store = SovereigntyStore("store.db")
def load():
    for _ in range(20_000):
        store.record("perception_cache_hit")
    store.record("skill_crystallized")
threading.Thread(target=load, daemon=True).start()
"""


def program(framework: str, arguments: str = "") -> str:
    """Return a service with our routes."""
    return framework.replace("ARGUMENTS", arguments) + "\nserve(app)\n"


def until(client: Client, **expected: Any) -> dict[str, Any]:
    """Return the first message that says so."""
    while True:
        message = client.message()
        if {key: message.get(key) for key in expected} == expected:
            return message


@pytest.mark.slow
@pytest.mark.parametrize("framework", [STARLETTE, FASTAPI], ids=["starlette", "fastapi"])
def test_the_store_is_shown(tmp_path: Path, framework: str, connect: Connect) -> None:
    """Percent per layer, cost per hour, skills crystallised, as the store itself says them."""
    with SovereigntyStore(tmp_path / "store.db") as store:
        for _ in range(3):
            store.record("perception_cache_hit")
        store.record("perception_vlm_call", {"cost_usd": 0.5})
        store.record("decision_llm_call", {"cost_usd": 0.25})
        store.record("skill_crystallized")
    with running(tmp_path, program(framework, WITH_STORE)) as service:
        message = connect(service.port).message()

    assert list(message) == [
        *("type", "stream", "id", "timestamp", "timestamp_iso", "interval_s"),
        *("time_window_s", "has_data", "layers", "cost_per_hour", "skills_crystallized"),
    ]
    assert message["layers"] == {
        "perception": {"sovereignty_pct": 75.0, "has_data": True, "sovereign": 3, "model": 1},
        "decision": {"sovereignty_pct": 0.0, "has_data": True, "sovereign": 0, "model": 1},
        "narration": {"sovereignty_pct": 0.0, "has_data": False, "sovereign": 0, "model": 0},
    }
    assert (message["cost_per_hour"], message["skills_crystallized"]) == (0.75, 1)
    assert (message["time_window_s"], message["interval_s"]) == (3600.0, 5.0)


@pytest.mark.slow
def test_the_next_snapshot_comes_after_five_seconds(tmp_path: Path, connect: Connect) -> None:
    """With what another process recorded meanwhile."""
    with (
        SovereigntyStore(tmp_path / "store.db") as store,
        running(tmp_path, program(STARLETTE, WITH_STORE)) as service,
    ):
        client = connect(service.port)
        first = client.message()
        store.record("skill_crystallized")
        second = client.message()

    assert (first["skills_crystallized"], second["skills_crystallized"]) == (0, 1)
    assert second["id"] == first["id"] + 1
    assert 4.5 < second["timestamp"] - first["timestamp"] < 6


@pytest.mark.slow
def test_who_comes_back_sees_what_was_missed(tmp_path: Path, connect: Connect) -> None:
    """By the ids where the process is the same; by another stream where it is not."""
    with running(tmp_path, program(STARLETTE, WITH_STORE)) as service:
        stays, goes = connect(service.port), connect(service.port)
        before = goes.message()
        goes.close()
        newest = stays.message()
        while newest["id"] < before["id"] + 2:
            newest = stays.message()
        back = connect(service.port).message()
    with running(tmp_path, program(STARLETTE, WITH_STORE)) as service:
        restarted = connect(service.port).message()

    assert back["stream"] == before["stream"]
    assert back["id"] > before["id"] + 1
    assert restarted["stream"] != before["stream"]


@pytest.mark.slow
def test_without_a_store_the_socket_says_what_to_do(tmp_path: Path, connect: Connect) -> None:
    """Numbers of one process would look like those of the service."""
    with running(tmp_path, program(STARLETTE)) as service:
        ending = connect(service.port).ending()

    assert ending == (
        1011,
        "no store: set OTEL_PYTHON_METRICS_SOVEREIGNTY_DB and call configure()",
    )


@pytest.mark.slow
def test_the_file_of_another_program_is_not_shown(tmp_path: Path, connect: Connect) -> None:
    """Nor touched."""
    with sqlite3.connect(tmp_path / "store.db") as other:
        other.execute("PRAGMA application_id = 7")
        other.execute("CREATE TABLE things (name TEXT)")
    other.close()
    before = (tmp_path / "store.db").read_bytes()
    with running(tmp_path, program(STARLETTE, WITH_STORE)) as service:
        ending = connect(service.port).ending()

    assert ending == (1011, "the database is not one of sovereignty")
    assert (tmp_path / "store.db").read_bytes() == before


@pytest.mark.slow
def test_the_variables_of_the_page_secure_the_socket(tmp_path: Path, connect: Connect) -> None:
    """A token that a variable names is asked for here, too."""
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("0123456789abcdef")
    variables = {"OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE": str(tokens)}
    with running(tmp_path, program(STARLETTE, WITH_STORE), **variables) as service:
        right = {"Authorization": "Bearer 0123456789abcdef"}
        message = connect(service.port, headers=right).message()
        silent = connect(service.port).ending()

    assert message["type"] == "sovereignty.snapshot"
    assert silent[0] == 4401


@pytest.mark.slow
def test_a_load_of_events_reaches_watchers_exactly(tmp_path: Path, connect: Connect) -> None:
    """As fast as they can be recorded: no frame is early, no event is missing, memory is flat."""
    served = program(STARLETTE, WITH_STORE).replace("\nserve(app)", f"{LOAD}\nserve(app)")
    with running(tmp_path, served) as service:
        clients = [connect(service.port) for _ in range(20)]
        for client in clients:
            client.message()
        before = service.facts()["rss_kib"]
        begun = time.monotonic()
        messages = [until(client, skills_crystallized=1) for client in clients]
        took_s = time.monotonic() - begun

        assert {message["layers"]["perception"]["sovereign"] for message in messages} == {20_000}
        assert {message["id"] for message in messages} == {messages[0]["id"]}
        assert messages[0]["id"] <= 3 + took_s / 5
        assert service.facts()["rss_kib"] - before < 32 * 1024

"""The guard of a service's own routes: which peers and names are let in, and on what scopes.

No telemetry runs here, so whoever is let in reads that none does.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from otel_exporter_prometheus import SettingError
from otel_metrics.web import routes
from otel_metrics.web.guard import Door, Guard

TOKEN = "0123456789abcdef"
LET_IN = 503
"""Telemetry does not run, and the answer says so."""


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """A file with one token."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(TOKEN)
    return str(file)


def ask(
    peer: str = "127.0.0.1",
    *,
    host: str = "localhost:8000",
    path: str = "/metrics",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    **arguments: Any,
) -> httpx.Response:
    """Ask an application with nothing but our routes, as a client with that address."""
    app = Starlette(routes=routes(**arguments))

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 1234))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(
                method, f"http://{host}{path}", headers={"Host": host, **(headers or {})}
            )

    return asyncio.run(request())


def status(*arguments: Any, **more: Any) -> int:
    answer = ask(*arguments, **more)
    assert answer.status_code != LET_IN or answer.text.startswith("No telemetry runs")
    return answer.status_code


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("127.0.0.1", LET_IN),
        ("127.1.2.3", LET_IN),
        ("::1", LET_IN),
        ("::ffff:127.0.0.1", LET_IN),
        ("192.0.2.1", 403),
        ("2001:db8::1", 403),
        ("::ffff:192.0.2.1", 403),
        ("", 403),
        ("testclient", 403),
    ],
)
def test_without_authentication_only_this_machine_is_answered(peer: str, expected: int) -> None:
    """A service is open to others; its metrics are not, unless somebody says so."""
    assert status(peer) == expected


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_asks_for_somebody_else(header: str) -> None:
    """A request that came through a proxy is not this machine's own."""
    assert status(headers={header: "192.0.2.1"}) == 403


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io"])
def test_without_authentication_only_loopback_names_lead_here(host: str) -> None:
    """A foreign site that points its name at this machine is refused."""
    assert status(host=host) == 421


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:80", "http://localhost", LET_IN),
        ("localhost:80", "http://evil.example", 403),
        ("localhost:80", "https://localhost", 403),
        ("localhost:80", "null", 403),
    ],
)
def test_a_foreign_origin_is_refused(host: str, origin: str, expected: int) -> None:
    """Only the service's own pages may ask by script."""
    assert status(host=host, headers={"Origin": origin}) == expected


def test_a_named_host_is_ours() -> None:
    """A name of the service's own leads here; another one still does not."""
    assert status(host="shop.internal", allowed_hosts=["shop.internal"]) == LET_IN
    assert status(host="evil.example", allowed_hosts=["shop.internal"]) == 421


def test_with_a_token_others_are_answered(token_file: str) -> None:
    """From anywhere and by any name, with the token; without it nobody, not even this machine."""
    right = {"Authorization": f"Bearer {TOKEN}"}
    strange = {"peer": "192.0.2.1", "host": "shop.example", "bearer_token_file": token_file}

    assert status(headers=right, **strange) == LET_IN
    assert status(headers={"Authorization": "Bearer wrong"}, **strange) == 401
    assert status(bearer_token_file=token_file) == 401
    assert status(path=f"/metrics?token={TOKEN}", bearer_token_file=token_file) == 401


def test_with_a_token_named_hosts_are_the_only_ones(token_file: str) -> None:
    """Who lists names means these."""
    right = {"Authorization": f"Bearer {TOKEN}"}
    more = {"bearer_token_file": token_file, "allowed_hosts": ["shop.example"], "headers": right}

    assert status(host="shop.example:8443", **more) == LET_IN
    assert status(host="evil.example", **more) == 421


def test_everybody_is_answered_when_told_so() -> None:
    """`allow_unauthenticated=True` is a network that somebody trusts."""
    assert status("192.0.2.1", host="shop.example", allow_unauthenticated=True) == LET_IN


def test_the_variables_of_the_page_hold(token_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever secures the page's own port secures the routes."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE", token_file)

    assert status() == 401
    assert status(headers={"Authorization": f"Bearer {TOKEN}"}) == LET_IN


def test_where_the_page_listens_is_no_concern_of_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An own port that stays closed closes no route."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "0.0.0.0")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE", "/absent")

    assert [status(), status("192.0.2.1")] == [LET_IN, 403]


def test_a_file_of_a_variable_that_cannot_be_used_closes_the_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service runs, and one line says why the routes answer nobody."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE", str(tmp_path / "absent"))
    answer = ask()

    assert (answer.status_code, answer.text) == (
        503,
        "This page is closed; the service's log says why.\n",
    )
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "BEARER_TOKEN_FILE=" in caplog.records[0].getMessage()


def test_a_file_of_an_argument_that_cannot_be_used_raises(tmp_path: Path) -> None:
    """A mistake in code is an error at once."""
    with pytest.raises(SettingError, match="No such file or directory"):
        routes(bearer_token_file=tmp_path / "absent")


def test_who_guesses_is_told_to_wait(token_file: str) -> None:
    """The eleventh failure in a minute is 429, for that peer."""
    app = Starlette(routes=routes(bearer_token_file=token_file))

    async def guess(peer: str, times: int) -> list[int]:
        transport = httpx.ASGITransport(app, client=(peer, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [(await client.get("/metrics")).status_code for _ in range(times)]

    assert asyncio.run(guess("192.0.2.1", 11)) == [401] * 10 + [429]
    assert asyncio.run(guess("192.0.2.2", 1)) == [401]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_routes_can_only_be_read(method: str) -> None:
    """No method but GET and HEAD does anything; no CORS header invites other sites."""
    answer = ask(method=method)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_body_is_refused() -> None:
    """As on the page's own port."""
    assert status(headers={"Content-Length": "5"}) == 400


def test_head_has_no_body() -> None:
    """What GET would send is told by its length."""
    answer = ask(method="HEAD")

    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 0


def through(scope: Scope, door: Door) -> tuple[list[str], list[Message]]:
    """Send a scope through a guard; return what reached the application, and what was sent."""
    reached: list[str] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["type"])

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app, door)(scope, receive, send))
    return reached, sent


def scope(kind: str, peer: str) -> Scope:
    return {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "path": "/metrics",
        "method": "GET",
        "headers": [(b"host", b"localhost")],
        "client": (peer, 1234),
        "server": ("127.0.0.1", 80),
    }


def test_a_websocket_is_guarded_too() -> None:
    """It is refused before it is accepted, which a client sees as 403."""
    assert through(scope("websocket", "127.0.0.1"), Door()) == (["websocket"], [])
    assert through(scope("websocket", "192.0.2.1"), Door()) == (
        [],
        [{"type": "websocket.close", "code": 1008}],
    )


@pytest.mark.parametrize("kind", ["lifespan", "webtransport"])
def test_what_the_guard_does_not_know_is_denied(kind: str) -> None:
    """A scope of another kind reaches nobody."""
    assert through({"type": kind}, Door(for_all=True)) == ([], [])

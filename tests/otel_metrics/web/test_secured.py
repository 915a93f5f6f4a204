"""Routes that change something: in which order they refuse, and what they answer."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from otel_metrics.web.actors import Actors, Closed
from otel_metrics.web.guard import Door
from otel_metrics.web.replies import reply
from otel_metrics.web.secured import Call, Operation, RefusedError, Secured

TOKENS = {role: f"0123456789abcdef-{role}" for role in ("read", "alert", "approve", "admin")}
JSON = {"Content-Type": "application/json"}


def look(call: Call) -> Any:
    return reply(200, {"who": call.actor.name, "path": call.path, "query": call.query})


def change(call: Call) -> Any:
    if call.body == b"no":
        raise RefusedError(409, "it was changed before")
    if call.body == b"broken":
        raise ZeroDivisionError
    return reply(201, {"body": call.body.decode()})


OPERATIONS = {
    "GET": Operation(needs="read", work=look),
    "POST": Operation(needs="approve", work=change, bytes_max=10),
}


@pytest.fixture
def known(tmp_path: Path) -> Actors:
    """An actor of each role."""
    file = tmp_path / "actors"
    file.touch(mode=0o600)
    file.write_text("".join(f"the-{role}:{role}:{token}\n" for role, token in TOKENS.items()))
    return Actors(str(file))


def ask(
    actors: Actors | Closed,
    method: str = "GET",
    *,
    token: str = "",
    path: str = "/things/7",
    body: bytes = b"",
    door: Door | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Ask from elsewhere, and return the status and what the JSON says."""
    secured = Secured(door or Door(for_all=True), actors, OPERATIONS)
    app = Starlette(routes=[Route("/things/{id}", secured)])
    sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 1234))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(
                method, f"http://shop.example{path}", headers=sent, content=body
            )

    answer = asyncio.run(request())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json() if answer.content else None


def test_who_asks_is_known_by_name(known: Actors) -> None:
    """An operation is told who, what of the path, and what of the query."""
    assert ask(known, token=TOKENS["read"], path="/things/7?state=pending") == (
        200,
        {"who": "the-read", "path": {"id": "7"}, "query": {"state": "pending"}},
    )
    assert ask(known, "HEAD", token=TOKENS["read"]) == (200, None)


@pytest.mark.parametrize(
    ("role", "looks", "changes"),
    [("read", 200, 403), ("alert", 403, 403), ("approve", 200, 201), ("admin", 200, 201)],
)
def test_a_role_allows_what_it_is_for(known: Actors, role: str, looks: int, changes: int) -> None:
    """And says so where it does not."""
    found = [
        ask(known, token=TOKENS[role]),
        ask(known, "POST", token=TOKENS[role], body=b"yes", headers=JSON),
    ]

    assert [status for status, _ in found] == [looks, changes]
    refused = {"error": f"the-{role} has role {role}, which may not do this"}
    assert all(said == refused for status, said in found if status == 403)


def test_a_stranger_learns_nothing(known: Actors) -> None:
    """Neither which methods there are, nor what is wrong with a body."""
    found = {
        json.dumps(ask(known, method, body=body, headers=headers))
        for method, body, headers in (
            ("GET", b"", {}),
            ("POST", b"", {}),
            ("DELETE", b"", {}),
            ("POST", b"x" * 1_000, JSON),
            ("GET", b"", {"Authorization": "Bearer wrong"}),
            ("GET", b"", {"Cookie": f"token={TOKENS['admin']}"}),
        )
    }
    in_query = ask(known, path=f"/things/7?token={TOKENS['admin']}")

    assert {in_query[0], *(json.loads(each)[0] for each in found)} == {401}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("method", "body", "headers", "expected"),
    [
        ("DELETE", b"", {}, (405, "this takes GET, POST")),
        ("POST", b"x" * 11, JSON, (413, "the body is longer than 10 bytes; send less at once")),
        ("POST", b"x", {}, (415, "send JSON, with `Content-Type: application/json`")),
        ("POST", b"no", JSON, (409, "it was changed before")),
    ],
)
def test_a_refusal_says_what_to_do(
    known: Actors, method: str, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    """In JSON, to who may know."""
    status, said = ask(known, method, token=TOKENS["admin"], body=body, headers=headers)

    assert (status, said) == (expected[0], {"error": expected[1]})


@pytest.mark.parametrize("query", ["a=1&a=2", "=&", "a", "&".join(f"a{i}=1" for i in range(21))])
def test_a_query_is_clear_or_refused(known: Actors, query: str) -> None:
    """Which of two values holds is no matter of luck."""
    assert ask(known, token=TOKENS["read"], path=f"/things/7?{query}")[0] == 400


def test_a_foreign_site_is_refused(known: Actors) -> None:
    """A browser says which site's script asks, and a token does not make up for it."""
    foreign = {"Origin": "https://evil.example"}

    assert ask(known, token=TOKENS["admin"], headers=foreign) == (
        403,
        {"error": "This page is not for other sites."},
    )
    allowed = Door(for_all=True, origins=("https://evil.example",))
    assert ask(known, token=TOKENS["admin"], door=allowed, headers=foreign)[0] == 200


def test_named_hosts_are_the_only_ones(known: Actors) -> None:
    """Where there are any."""
    named = Door(for_all=True, hosts=("ops.example",))

    assert ask(known, token=TOKENS["admin"], door=named)[0] == 421


def test_what_breaks_is_told_to_the_log_and_to_nobody_else(
    known: Actors, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer has no detail that a stranger could use."""
    with caplog.at_level(logging.ERROR):
        found = ask(known, "POST", token=TOKENS["admin"], body=b"broken", headers=JSON)

    assert found == (500, {"error": "this failed; the service's log says why"})
    assert caplog.messages == ["a request to /things/7 could not be answered"]


def test_closed_routes_say_where_to_look() -> None:
    """A file that cannot be used lets nobody in."""
    assert ask(Closed(), token=TOKENS["admin"]) == (
        503,
        {"error": "this route is closed; the service's log says why"},
    )

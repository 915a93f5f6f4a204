"""Who may ask a service's own routes for the page: an ASGI wrapper in front of what answers.

It sees every kind of scope, since what guards HTTP alone leaves WebSockets open; a kind that it
does not know is denied. Nothing here waits but for a password's hash, in a thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from otel_exporter_prometheus import guard
from otel_exporter_prometheus.auth import Authenticator
from otel_exporter_prometheus.protocol import Answer, Request, plain
from otel_exporter_prometheus.settings import is_loopback_address
from otel_metrics.web.threads import BusyError, in_thread

__all__ = ["BUSY", "Door", "Guard", "place_of", "request_of", "send_answer"]

BUSY: Final = plain(503, "Too many requests at once; try again.")

_STRANGER: Final = plain(
    403, "This page is for its own machine, unless it is given authentication."
)
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""With one of these a request comes from elsewhere, though its peer is on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a request must be like.

    Attributes:
        authenticator: who checks credentials, None where nobody does.
        hosts: names that lead here beside those of loopback; none given, any does where others
            than this machine may ask.
        origins: sites whose scripts may ask, beside the service's own pages.
        for_all: whether others may ask without credentials.
        closed: why nobody may, None where somebody may.
    """

    authenticator: Authenticator | None = None
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    for_all: bool = False
    closed: str | None = None

    def refusal(self, request: Request, scheme: str, port: int) -> Answer | None:
        """Return what refuses a request. May take long: bcrypt."""
        refusal = self.outer_refusal(request, scheme, port)
        if refusal is None and self.authenticator is not None:
            refusal = self.authenticator.refusal(request)
        return refusal

    def outer_refusal(self, request: Request, scheme: str, port: int) -> Answer | None:
        """Return what refuses a request whatever its credentials; never waits."""
        if self.closed is not None:
            return plain(503, "This page is closed; the service's log says why.")
        private = self.authenticator is None and not self.for_all
        if private and not _is_local(request):
            return _STRANGER
        rules = guard.Rules(
            scheme=scheme,
            port=port,
            hosts=tuple(self.hosts),
            any_host=not private and not self.hosts,
        )
        return guard.admit(self._without_allowed_origins(request), rules)

    def _without_allowed_origins(self, request: Request) -> Request:
        foreign = [
            origin
            for origin in request.headers.get("origin", ())
            if origin.lower() not in self.origins
        ]
        return replace(request, headers={**request.headers, "origin": tuple(foreign)})


class Guard:
    """Lets through to `app` what its door lets in.

    Args:
        app: what answers.
        door: what a request must be like.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge, and answer or let the application answer."""
        if scope["type"] not in ("http", "websocket"):
            return
        refusal = await self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await send_answer(refusal, scope, send)
        else:
            await receive()  # the connect, which is refused before it is accepted: 403
            await send({"type": "websocket.close", "code": 1008})

    async def _refusal(self, scope: Scope) -> Answer | None:
        request = request_of(scope)
        scheme, port = place_of(scope)
        if self._door.authenticator is None:
            return self._door.refusal(request, scheme, port)
        try:
            return await in_thread(lambda: self._door.refusal(request, scheme, port))
        except BusyError:
            return BUSY


def request_of(scope: Scope) -> Request:
    """Return what ASGI tells of a request."""
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        headers[key] = (*headers.get(key, ()), value.decode("latin-1").strip(" \t"))
    client = scope.get("client") or ("", 0)
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return Request(
        scope.get("method", "GET"), path, headers.get("host", ()), headers, str(client[0])
    )


def place_of(scope: Scope) -> tuple[str, int]:
    """Return the scheme, of HTTP, and the port that a request came to."""
    server = scope.get("server") or ("", None)
    scheme = str(scope.get("scheme", "http")).replace("ws", "http", 1)
    return scheme, server[1] or guard.PORTS.get(scheme, 0)


async def send_answer(answer: Answer, scope: Scope, send: Send) -> None:
    """Send a whole answer; to HEAD, without its body."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


def _is_local(request: Request) -> bool:
    """Say whether a process of this machine asks; a proxy on it asks for somebody else."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback_address(request.peer)

"""`routes`: the metrics, telemetry's health and live sovereignty under a service's own port, for
Starlette and FastAPI.

Plain routes and no mounted application, which would answer `/metrics` with a redirect. The page is
the running telemetry's; it is looked for at each request, so the order of `configure()` and
`routes()` does not matter, and a forked worker answers for itself.
"""

import logging
import os
from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from otel_exporter_prometheus import contents, guard
from otel_exporter_prometheus.health import Watch
from otel_exporter_prometheus.pressure import Pressure
from otel_exporter_prometheus.protocol import Answer, Request, plain
from otel_metrics.autoconfig import startup
from otel_metrics.web.board import Board
from otel_metrics.web.doors import page_door
from otel_metrics.web.guard import BUSY, Guard, request_of, send_answer
from otel_metrics.web.live import PATH, LiveSocket
from otel_metrics.web.threads import BusyError, in_flight, in_thread

__all__ = ["routes"]

_NOT_STARTED: Final = plain(
    503, "No telemetry runs in this process; call otel_metrics.configure() when it starts."
)

_FAILED: Final = plain(503, "The metrics cannot be collected.")

_logger = logging.getLogger("otel_metrics.web")


def routes(
    *,
    bearer_token_file: str | os.PathLike[str] | None = None,
    basic_auth_file: str | os.PathLike[str] | None = None,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    allow_unauthenticated: bool = False,
    sovereignty_db: str | os.PathLike[str] | None = None,
) -> list[BaseRoute]:
    """Return `/metrics`, `/healthz` and the WebSocket `/ws/sovereignty`, for
    `Starlette(routes=…)` or `app.router.routes.extend(…)`.

    What is not given is read from the variables of the page, `OTEL_EXPORTER_PROMETHEUS_*`. Without
    a file of credentials only this machine is answered, by its loopback names.

    Args:
        bearer_token_file: tokens, one a line; who asks must present one.
        basic_auth_file: `user:hash` lines with bcrypt hashes, another way to be let in.
        allowed_hosts: names under which the service may be asked, beside those of loopback;
            without, any, where others than this machine may ask at all.
        allowed_origins: sites whose scripts may ask, as browsers name them:
            `https://shop.example`, with the port where it is not the scheme's own. The service's
            own pages need not be named where they are reached directly, under loopback or an
            allowed host.
        allow_unauthenticated: answer everybody without credentials.
        sovereignty_db: the database that `/ws/sovereignty` shows; by default the running
            telemetry's.

    Raises:
        SettingError: a file that is an argument cannot be used. One that a variable names closes
            the routes, with one line in the log.

    Example:
        >>> from starlette.applications import Starlette
        >>> app = Starlette(routes=routes())
        >>> [route.path for route in app.routes]
        ['/metrics', '/healthz', '/ws/sovereignty']
    """
    given = {
        "bearer_token_file": bearer_token_file,
        "basic_auth_file": basic_auth_file,
        "allow_unauthenticated": allow_unauthenticated or None,
    }
    paths = f"{guard.METRICS}, {guard.HEALTHZ} and {PATH}"
    door = page_door(given, tuple(allowed_hosts), tuple(allowed_origins), paths=paths)
    startup.want_page()
    guarded = Guard(_Pages(), door)
    board = Board(None if sovereignty_db is None else os.fspath(sovereignty_db))
    return [
        *(
            Route(path, guarded, name=f"otel-{path[1:]}", include_in_schema=False)
            for path in (guard.METRICS, guard.HEALTHZ)
        ),
        WebSocketRoute(PATH, LiveSocket(door, board.hub), name="otel-sovereignty"),
    ]


class _Pages:
    """Answers who was let in."""

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._pressure = Pressure()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        request = request_of(scope)
        refusal = guard.judge(request)
        answer = await self._read(request) if refusal is None else refusal
        await send_answer(answer, scope, send)

    async def _read(self, request: Request) -> Answer:
        try:
            return await in_thread(lambda: self._answer(request))
        except BusyError:
            return BUSY
        except Exception:
            _logger.exception("a scrape could not be answered")
            return _FAILED

    def _answer(self, request: Request) -> Answer:
        telemetry = startup.current()
        page = None if telemetry is None else telemetry.page()
        if telemetry is None or page is None:
            return _NOT_STARTED
        if self._watch is None:
            self._watch = Watch(stalled_after_s=telemetry.stalled_after_s)
        pressed = self._pressure.is_high(in_flight())
        return contents.answer(request, page, self._watch, pressed=pressed)

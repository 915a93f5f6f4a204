"""`service_routes`: newest values, snapshots and the machine's state as JSON, for Starlette and
FastAPI.

Plain routes behind the door of `routes`. They answer from the service telemetry of the process,
which is looked for at each request. With a database every process of a service answers for all of
it; without one each knows only what it sampled itself.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from otel_exporter_prometheus.protocol import JSON, Answer
from otel_metrics.outages import Outage
from otel_metrics.service import configured
from otel_metrics.service.configured import NoServiceTelemetryError
from otel_metrics.service.keeper import Keeper
from otel_metrics.service.overview import overview
from otel_metrics.service.snapshots import moment
from otel_metrics.sqlite import DatabaseError
from otel_metrics.web.doors import page_door
from otel_metrics.web.guard import BUSY, Guard, request_of, send_answer
from otel_metrics.web.hardware import host_facts
from otel_metrics.web.questions import QuestionError, cursor_after, question_of
from otel_metrics.web.threads import BusyError, in_thread

__all__ = ["service_routes"]

METRICS: Final = "/api/metrics"
SNAPSHOTS: Final = "/api/metrics/snapshots"
HARDWARE: Final = "/api/hardware/status"
FIGURES: Final = {
    "cpu": "infra.cpu_utilization",
    "memory": "infra.memory_utilization",
    "disk": "infra.disk_usage",
}
"""The metrics of a machine, by what the status calls them."""

Said = Mapping[str, object]

_logger = logging.getLogger("otel_metrics.web")


def service_routes(
    *,
    bearer_token_file: str | os.PathLike[str] | None = None,
    basic_auth_file: str | os.PathLike[str] | None = None,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    allow_unauthenticated: bool = False,
) -> list[BaseRoute]:
    """Return `/api/metrics`, `/api/metrics/snapshots` and `/api/hardware/status`, for
    `Starlette(routes=…)` or `app.router.routes.extend(…)`.

    Arguments, variables and errors are those of `routes`.

    Example:
        >>> from starlette.applications import Starlette
        >>> app = Starlette(routes=service_routes())
        >>> [route.path for route in app.routes]
        ['/api/metrics', '/api/metrics/snapshots', '/api/hardware/status']
    """
    given = {
        "bearer_token_file": bearer_token_file,
        "basic_auth_file": basic_auth_file,
        "allow_unauthenticated": allow_unauthenticated or None,
    }
    paths = f"{METRICS}, {SNAPSHOTS} and {HARDWARE}"
    door = page_door(given, tuple(allowed_hosts), tuple(allowed_origins), paths=paths)
    answers = {METRICS: _metrics, SNAPSHOTS: _snapshots, HARDWARE: _hardware}
    return [
        Route(path, Guard(_Page(answer), door), name=f"otel{path}", include_in_schema=False)
        for path, answer in answers.items()
    ]


class _Page:
    """Answers who was let in, from a thread.

    Args:
        say: returns what there is to say to a query string.
    """

    def __init__(self, say: Callable[[Keeper, bytes], Said]) -> None:
        self._say = say
        self._outage = Outage(_logger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        request = request_of(scope)
        if request.method not in ("GET", "HEAD"):
            answer = _failure(405, "only GET and HEAD are answered", ("Allow", "GET, HEAD"))
        elif request.has_body:
            answer = _failure(400, "a request for this page has no body")
        else:
            answer = await self._read(scope["query_string"])
        await send_answer(answer, scope, send)

    async def _read(self, query: bytes) -> Answer:
        try:
            return await in_thread(lambda: self._answer(query))
        except BusyError:
            return BUSY
        except Exception:
            _logger.exception("a question about the service could not be answered")
            return _failure(503, "the question cannot be answered; the service's log says why")

    def _answer(self, query: bytes) -> Answer:
        try:
            said = _answer(200, self._say(configured.current(), query))
        except QuestionError as error:
            return _failure(400, str(error))
        except NoServiceTelemetryError as error:
            return _failure(503, str(error))
        except DatabaseError as error:  # with the path, which is nobody's business
            self._outage.goes_on("questions about the service are not answered: %s", error)
            return _failure(503, "the database cannot be read; the service's log says why")
        self._outage.is_over("questions about the service are answered again")
        return said


def _metrics(keeper: Keeper, query: bytes) -> Said:
    _must_be_empty(query)
    now = time.time()
    return {"generated_at": moment(now), "metrics": _overview(keeper, now)}


def _snapshots(keeper: Keeper, query: bytes) -> Said:
    question = question_of(query)
    if keeper.store is None:
        raise NoServiceTelemetryError(
            "no snapshots are kept: set OTEL_PYTHON_METRICS_SERVICE_DB to a file for them"
        )
    records = keeper.store.page(question)
    is_last = len(records) < question.limit
    return {"snapshots": records, "next_cursor": None if is_last else cursor_after(records[-1])}


def _hardware(keeper: Keeper, query: bytes) -> Said:
    _must_be_empty(query)
    now = time.time()
    records = _overview(keeper, now)
    figures = {
        name: [record for record in records if record["metric_id"] == metric]
        for name, metric in FIGURES.items()
    }
    return {"generated_at": moment(now), "host": host_facts(), **figures}


def _overview(keeper: Keeper, now: float) -> list[dict[str, object]]:
    return overview(keeper.metrics, keeper.latest(), now=now)


def _must_be_empty(query: bytes) -> None:
    if query:
        raise QuestionError("this page takes no parameters")


def _answer(status: int, said: Said, *extra: tuple[str, str]) -> Answer:
    body = json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    return Answer(status, body, JSON, extra)


def _failure(status: int, error: str, *extra: tuple[str, str]) -> Answer:
    return _answer(status, {"error": error}, *extra)

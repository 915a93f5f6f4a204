"""Routes that change something: who asks is known by name, may do it, and sends strict JSON.

Refusals come in this order, so that a stranger learns nothing: host and origin, token, method,
role, body. What may wait is done in threads; an answer is always JSON.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from otel_exporter_prometheus.protocol import Answer, Request
from otel_metrics.web import bodies
from otel_metrics.web.actors import Actor, Actors, Closed, Permission
from otel_metrics.web.guard import Door, place_of, request_of, send_answer
from otel_metrics.web.replies import as_problem, problem
from otel_metrics.web.threads import BusyError, in_thread

__all__ = ["BODY_BYTES_MAX", "Call", "Operation", "RefusedError", "Secured", "door_of"]

BODY_BYTES_MAX: Final = 64 * 1024
"""A longer body is refused, where an operation allows no more."""
QUERY_FIELDS_MAX: Final = 20

_BUSY: Final = problem(503, "too many requests at once; try again", ("Retry-After", "1"))
_FAILED: Final = problem(500, "this failed; the service's log says why")

_logger = logging.getLogger("otel_metrics.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What an operation is told.

    Attributes:
        path: the parts of the path that have a name.
    """

    actor: Actor
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class RefusedError(Exception):
    """An operation's answer is no; `status` is HTTP's, the message is for who asks."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method of a route does.

    Attributes:
        needs: what the actor's role must allow.
        work: answers; it may wait, and is called in a thread. May raise `RefusedError`,
            `BodyError` and nothing else.
    """

    needs: Permission
    work: Callable[[Call], Answer]
    bytes_max: int = BODY_BYTES_MAX


class Secured:
    """Answers one path, as an ASGI application.

    Args:
        door: which hosts and origins are let in; credentials are asked for here.
        actors: who may do what.
        operations: what each method does; GET answers HEAD, too.
    """

    def __init__(
        self, door: Door, actors: Actors | Closed, operations: Mapping[str, Operation]
    ) -> None:
        self._door = door
        self._actors = actors
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge and answer."""
        try:
            answer = await self._answer(scope, receive)
        except bodies.GoneError:
            return
        except (bodies.BodyError, RefusedError) as error:
            answer = problem(error.status, str(error))
        except BusyError:
            answer = _BUSY
        except Exception:
            _logger.exception("a request to %s could not be answered", scope["path"])
            answer = _FAILED
        await send_answer(answer, scope, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        request = request_of(scope)
        scheme, port = place_of(scope)
        refusal = self._door.outer_refusal(request, scheme, port)
        if refusal is not None:
            return as_problem(refusal)
        actor = await in_thread(lambda: self._actors.who(request))
        if isinstance(actor, Answer):
            return actor
        method = "GET" if request.method == "HEAD" else request.method
        operation = self._operations.get(method)
        if operation is None:
            return self._no_such_method()
        if not actor.may(operation.needs):
            return problem(403, f"{actor.name} has role {actor.role}, which may not do this")
        call = await _call(operation, actor, scope, request, receive)
        return await in_thread(lambda: operation.work(call))

    def _no_such_method(self) -> Answer:
        methods = ", ".join(self._operations)
        return problem(405, f"this takes {methods}", ("Allow", methods))


def door_of(allowed_hosts: Sequence[str], allowed_origins: Sequence[str]) -> Door:
    """Return the door of routes that ask everybody for a token: to others than this machine it is
    open, and any name leads to it where none is given."""
    origins = tuple(map(str.lower, allowed_origins))
    return Door(hosts=tuple(allowed_hosts), origins=origins, for_all=True)


async def _call(
    operation: Operation, actor: Actor, scope: Scope, request: Request, receive: Receive
) -> Call:
    return Call(
        actor=actor,
        path={name: str(value) for name, value in scope.get("path_params", {}).items()},
        query=_query(scope),
        body=await bodies.read(request, receive, bytes_max=operation.bytes_max)
        if request.method == "POST"
        else b"",
    )


def _query(scope: Scope) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            scope.get("query_string", b"").decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(scope.get("query_string")),
            errors="strict",
            max_num_fields=QUERY_FIELDS_MAX,
        )
    except ValueError:
        raise RefusedError(400, "the query cannot be read; write name=value&name=value") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError(400, "a name stands twice in the query; leave one out")
    return found

"""`/api/governance/approvals`: asked for, listed, and decided by people whose token says who they
are."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, cast, get_args

import msgspec
from starlette.routing import BaseRoute, Route

from otel_exporter_prometheus.protocol import Answer
from otel_metrics import instruments
from otel_metrics.remediation import configured
from otel_metrics.remediation.approvals import LISTED, State
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.errors import (
    DecidedError,
    LedgerError,
    NotAllowedError,
    UnknownApprovalError,
)
from otel_metrics.remediation.model import Request
from otel_metrics.remediation.scopes import metric_of, no_playbook, scope_of
from otel_metrics.remediation.views import approval_view
from otel_metrics.service.samples import Resource
from otel_metrics.web import bodies
from otel_metrics.web.actors import actors
from otel_metrics.web.replies import reply
from otel_metrics.web.secured import Call, Operation, RefusedError, Secured, door_of

__all__ = ["PATH", "governance_routes"]

PATH: Final = "/api/governance/approvals"
LISTED_MAX: Final = 1_000
"""So many approvals are in one answer."""

REFUSAL_CHARS_MAX: Final = 2_000
"""Characters of an answer that says why nothing is asked for."""
SHOWN_CHARS_MAX: Final = 60
"""Characters of a filter that an answer shows."""

_STATES: Final = get_args(State)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of who asks for a playbook.

    Attributes:
        target: the id of the resource.
        scope: what the resource is; by default what the metrics that recommend the playbook
            measure.
        metric: what the playbook is for; by default the one metric that recommends it.
        key: with the same key the same person asks once, however often the body is sent.
    """

    playbook: Name
    target: Name
    reason: Text
    scope: Name | None = None
    parameters: dict[str, str | int | float] = {}
    metric: Name | None = None
    key: Name | None = None


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of who decides."""

    decision: Literal["approve", "reject"]
    reason: Text


def governance_routes(
    *,
    actors_file: str | os.PathLike[str] | None = None,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
) -> list[BaseRoute]:
    """Return the routes below `/api/governance/approvals`; nothing where no file of actors is
    named.

    Args:
        actors_file: lines `name:role:token`; roles read, approve and admin may look, the latter
            two ask and decide. Default: the variable OTEL_PYTHON_METRICS_ACTORS_FILE.
        allowed_hosts: names under which the service may be asked; without, any.
        allowed_origins: as for `routes`.

    Raises:
        SettingError: the file that is an argument cannot be used.
    """
    known = actors(actors_file)
    if known is None:
        return []
    door = door_of(allowed_hosts, allowed_origins)
    # In this order: `stats` is no id.
    operations: Mapping[str, Mapping[str, Operation]] = {
        "": {
            "GET": Operation(needs="read", work=_list),
            "POST": Operation(needs="approve", work=_ask),
        },
        "/stats": {"GET": Operation(needs="read", work=_stats)},
        "/{id}": {"GET": Operation(needs="read", work=_show)},
        "/{id}/decision": {"POST": Operation(needs="approve", work=_decide)},
    }
    return [
        Route(
            PATH + path,
            Secured(door, known, by_method),
            name=f"otel-approvals{path.replace('/', '-').replace('{id}', 'one')}",
            include_in_schema=False,
        )
        for path, by_method in operations.items()
    ]


def _list(call: Call) -> Answer:
    unknown = sorted(set(call.query) - {"state", "limit"})
    if unknown:
        raise RefusedError(400, f"{_shown(unknown[0])} is no filter; give state or limit")
    state = call.query.get("state")
    if state is not None and state not in _STATES:
        raise RefusedError(400, f"state={_shown(state)}: is none; give one of {', '.join(_STATES)}")
    limit = call.query.get("limit", str(LISTED))
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= len(str(LISTED_MAX))
    if not is_number or not 0 < int(limit) <= LISTED_MAX:
        raise RefusedError(400, f"limit={_shown(limit)}: give a number from 1 to {LISTED_MAX}")
    with _told() as engine:
        found = engine.approvals.list(state=cast("State | None", state), limit=int(limit))
    return reply(200, {"approvals": [approval_view(each) for each in found]})


def _stats(call: Call) -> Answer:
    del call
    with _told() as engine:
        return reply(200, {"approvals": dict(engine.approvals.stats())})


def _show(call: Call) -> Answer:
    with _told() as engine:
        return reply(200, approval_view(engine.approvals.get(call.path["id"])))


def _ask(call: Call) -> Answer:
    asked = bodies.parse(call.body, Asked)
    request = _request_of(asked, call.actor.name)
    with _told() as engine:
        outcome = engine.approvals.create(request)
        if outcome.approval_id is None:
            status = 422 if outcome.result in ("refused", "notified") else 409
            raise RefusedError(status, f"{outcome.result}: {outcome.detail[:REFUSAL_CHARS_MAX]}")
        view = approval_view(engine.approvals.get(outcome.approval_id))
    return reply(201 if outcome.result == "waiting" else 200, view)


def _request_of(asked: Asked, actor: str) -> Request:
    catalog = instruments.catalog()
    if asked.metric is not None and asked.metric not in catalog.metrics:
        raise RefusedError(422, f"metric={asked.metric}: is no metric of the catalog")
    scope = asked.scope or scope_of(asked.playbook, catalog, metric=asked.metric)
    if scope is None and asked.playbook not in catalog.playbooks:
        raise RefusedError(422, no_playbook(asked.playbook, catalog.playbooks))
    if scope is None:
        raise RefusedError(422, "scope: is not given, and nothing else says what the target is")
    return Request(
        playbook=asked.playbook,
        parameters=asked.parameters,
        target=Resource(scope, asked.target),
        actor=actor,
        reason=asked.reason,
        key=f"person:{actor}:{asked.key or secrets.token_hex(16)}",
        metric=asked.metric or metric_of(asked.playbook, catalog),
    )


def _decide(call: Call) -> Answer:
    decided = bodies.parse(call.body, Decided)
    with _told() as engine:
        approval = engine.approvals.decide(
            call.path["id"], decided.decision, actor=call.actor.name, reason=decided.reason
        )
    return reply(200, approval_view(approval))


def _shown(text: str) -> str:
    return text[:SHOWN_CHARS_MAX]


@contextlib.contextmanager
def _told() -> Iterator[Engine]:
    """Give the engine, and answer what it refuses."""
    try:
        yield configured.current()
    except UnknownApprovalError as error:
        raise RefusedError(404, str(error)) from error
    except NotAllowedError as error:
        raise RefusedError(403, str(error)) from error
    except DecidedError as error:
        raise RefusedError(409, str(error)) from error
    except (LedgerError, configured.NoEngineError) as error:
        raise RefusedError(503, str(error)) from error

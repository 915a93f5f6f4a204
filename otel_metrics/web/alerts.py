"""`POST /alerts`: Alertmanager's webhook, so that the alerts of a fleet drive playbooks."""

import os
from collections.abc import Sequence
from typing import Final

try:  # here, as nothing of `otel_metrics.web` is imported before
    from starlette.routing import BaseRoute, Route
except ImportError as error:
    raise ImportError(
        "otel_metrics.web needs Starlette; pip install 'otel-metrics[web]'"
    ) from error

from otel_exporter_prometheus.protocol import Answer
from otel_metrics import instruments
from otel_metrics.remediation import configured
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.web import bodies
from otel_metrics.web.actors import actors
from otel_metrics.web.alertmanager import PLAYBOOK_LABEL, Alert, Unusable, Webhook, request_of
from otel_metrics.web.replies import reply
from otel_metrics.web.secured import Call, Operation, RefusedError, Secured, door_of

__all__ = ["BODY_BYTES_MAX", "PATH", "alert_routes"]

PATH: Final = "/alerts"
BODY_BYTES_MAX: Final = 1024 * 1024
"""About a thousand alerts; `max_alerts` of Alertmanager keeps a group below it."""


def alert_routes(
    *,
    actors_file: str | os.PathLike[str] | None = None,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
) -> list[BaseRoute]:
    """Return `POST /alerts`, which takes what Alertmanager's `webhook_configs` send; nothing where
    no file of actors is named.

    Args:
        actors_file: lines `name:role:token`; who asks must present the token of one with role
            alert or admin. Default: the variable OTEL_PYTHON_METRICS_ACTORS_FILE.
        allowed_hosts: names under which the service may be asked; without, any.
        allowed_origins: as for `routes`.

    Raises:
        SettingError: the file that is an argument cannot be used.
    """
    known = actors(actors_file)
    if known is None:
        return []
    take = Operation(needs="alert", work=_answer, bytes_max=BODY_BYTES_MAX)
    secured = Secured(door_of(allowed_hosts, allowed_origins), known, {"POST": take})
    return [Route(PATH, secured, name="otel-alerts", include_in_schema=False)]


def _answer(call: Call) -> Answer:
    """Hand every alert on, and say what became of each.

    Alertmanager asks again after 5xx and 429, and never after 4xx or 200.
    """
    webhook = bodies.parse(call.body, Webhook)
    try:
        engine = configured.current()
    except configured.NoEngineError as error:
        raise RefusedError(503, str(error)) from error
    try:
        results = [_result(alert, call.actor.name, engine) for alert in webhook.alerts]
    except LedgerError as error:
        raise RefusedError(503, str(error)) from error
    dropped = any(result["result"] == "dropped" for result in results)
    more = {"truncated_alerts": webhook.truncated_alerts} if webhook.truncated_alerts else {}
    # What was dropped is sent again, and what was not is known by its key.
    return reply(503 if dropped else 200, {"results": results, **more})


def _result(alert: Alert, actor: str, engine: Engine) -> dict[str, object]:
    told: dict[str, object] = {
        "fingerprint": alert.fingerprint,
        "playbook": alert.labels.get(PLAYBOOK_LABEL),
    }
    if alert.status == "resolved":
        return {**told, "result": "ignored", "detail": "it is resolved"}
    catalog = instruments.catalog()
    asked = request_of(alert, actor=actor, catalog=catalog)
    if isinstance(asked, Unusable):
        known = told["playbook"] if told["playbook"] in catalog.playbooks else "unknown"
        counted = {"playbook.id": known, "remediation.result": "refused"}
        instruments.metric("remediation.actions").add(1, counted)
        return {**told, "result": "ignored", "detail": asked.detail}
    told["resource"] = {"scope": asked.target.scope, "id": asked.target.id}
    planned = engine.plan(asked).outcome
    # Also what will be refused goes on, so that the audit says who asked.
    outcome = engine.submit(asked) or planned
    if outcome is None:
        return {**told, "result": "queued", "detail": "it runs when its turn comes"}
    return {**told, "result": outcome.result, "detail": outcome.detail}

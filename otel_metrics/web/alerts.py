"""`POST /alerts`: Alertmanager's webhook, so that alerts of a fleet drive playbooks.

An alert names its playbook and its resource by labels. Labels are written by others: they choose
among playbooks and resources that are known, and become no parameter and no part of a command.
Each firing of an alert is acted on once, however often Alertmanager sends it. Pure but for
`Alerts.answer`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, Protocol

import msgspec

from otel_exporter_prometheus.protocol import Answer
from otel_metrics.catalog.model import Catalog
from otel_metrics.remediation.model import Outcome, Request
from otel_metrics.remediation.scopes import scope_of
from otel_metrics.service.samples import BandName, Resource
from otel_metrics.web import bodies
from otel_metrics.web.replies import reply
from otel_metrics.web.secured import Call

__all__ = ["BODY_BYTES_MAX", "PATH", "Alert", "Alerts", "Unusable", "request_of"]

PATH: Final = "/alerts"
BODY_BYTES_MAX: Final = 1024 * 1024
"""About a thousand alerts; `max_alerts` of Alertmanager keeps a group below it."""
REASON_CHARACTERS_MAX: Final = 500
RESOURCE_LABELS: Final = ("resource", "service_resource_id", "instance")
"""Which resource an alert is about: the first of these that it has. The second is what metrics of
this project carry."""
SCOPE_LABEL: Final = "resource_scope"
PLAYBOOK_LABEL: Final = "playbook"
METRIC_LABEL: Final = "metric"
BANDS: Final[Mapping[str, BandName]] = {"warning": "warning", "critical": "critical"}
"""What label `severity` says of a band."""

_FINGERPRINT: Final = r"^[0-9a-f]{1,64}$"


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of the webhook; what else it has is not needed."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: str
    fingerprint: Annotated[str, msgspec.Meta(pattern=_FINGERPRINT)]
    annotations: dict[str, str] = {}


class Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """Version 4 of the webhook, which Alertmanager has had since 0.4."""

    version: Literal["4"]
    alerts: list[Alert]
    truncated_alerts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """An alert that asks for nothing that could be done; `detail` says why."""

    detail: str


class Desk(Protocol):
    """Who decides about requests and carries them out, in threads of its own."""

    def submit(self, request: Request) -> Outcome | None:
        """Take a request; return what became of it where that is known at once."""


class Alerts:
    """Answers `PATH`.

    Args:
        desk: returns who decides; `RefusedError` says why nobody does.
        catalog: returns the catalog in force.
        count: is told of each alert that asks for nothing that could be done.
    """

    def __init__(
        self,
        desk: Callable[[], Desk],
        *,
        catalog: Callable[[], Catalog],
        count: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._catalog = catalog
        self._count = count

    def answer(self, call: Call) -> Answer:
        """Hand every alert on, and answer what became of each.

        Alertmanager asks again after 5xx and 429, and never after 4xx or 200.
        """
        webhook = bodies.parse(call.body, Webhook)
        desk, catalog = self._desk(), self._catalog()
        results = [self._result(each, call.actor.name, desk, catalog) for each in webhook.alerts]
        dropped = any(result["result"] == "dropped" for result in results)
        more = {"truncated_alerts": webhook.truncated_alerts} if webhook.truncated_alerts else {}
        # What was dropped is sent again, and what was not is known by its key.
        return reply(503 if dropped else 200, {"results": results, **more})

    def _result(self, alert: Alert, actor: str, desk: Desk, catalog: Catalog) -> dict[str, object]:
        told: dict[str, object] = {
            "fingerprint": alert.fingerprint,
            "playbook": alert.labels.get(PLAYBOOK_LABEL),
        }
        if alert.status == "resolved":
            return {**told, "result": "ignored", "detail": "it is resolved"}
        asked = request_of(alert, actor=actor, catalog=catalog)
        if isinstance(asked, Unusable):
            self._count()
            return {**told, "result": "ignored", "detail": asked.detail}
        outcome = desk.submit(asked)
        told |= {"resource": {"scope": asked.target.scope, "id": asked.target.id}}
        if outcome is None:
            return {**told, "result": "queued"}
        return {**told, "result": outcome.result, "detail": outcome.detail}


def request_of(alert: Alert, *, actor: str, catalog: Catalog) -> Request | Unusable:
    """Return what a firing alert asks for."""
    playbook = alert.labels.get(PLAYBOOK_LABEL)
    if not playbook:
        return Unusable(detail=f"it has no label {PLAYBOOK_LABEL}, which names what to do")
    resource = next(filter(None, map(alert.labels.get, RESOURCE_LABELS)), None)
    if resource is None:
        wanted = f"{', '.join(RESOURCE_LABELS[:-1])} or {RESOURCE_LABELS[-1]}"
        return Unusable(detail=f"it has no label {wanted}, which names what to do it to")
    metric = alert.labels.get(METRIC_LABEL)
    if metric is not None and metric not in catalog.metrics:
        return Unusable(detail=f"its label {METRIC_LABEL} names no metric of the catalog")
    scope = alert.labels.get(SCOPE_LABEL) or scope_of(playbook, catalog, metric=metric)
    if scope is None:
        return Unusable(
            detail=f"it has no label {SCOPE_LABEL}, and nothing else says what kind of resource "
            "it is"
        )
    started = _microseconds(alert.starts_at)
    if started is None:
        return Unusable(detail="its startsAt is no time")
    return Request(
        playbook=playbook,
        parameters={},
        target=Resource(scope, resource),
        actor=actor,
        reason=_reason(alert),
        key=f"alert:{alert.fingerprint}:{started}",
        metric=metric,
        band=BANDS.get(alert.labels.get("severity", "")),
    )


def _reason(alert: Alert) -> str:
    name = alert.labels.get("alertname", "alert")
    summary = alert.annotations.get("summary") or alert.annotations.get("description")
    return (f"{name}: {summary}" if summary else name)[:REASON_CHARACTERS_MAX]


def _microseconds(text: str) -> int | None:
    """Return a time as a number, since one moment can be written in several ways."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

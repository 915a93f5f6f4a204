"""Alertmanager's webhook as requests: which playbook an alert asks for, and of which resource.

Labels are written by others: they choose among playbooks and resources that are known, and become
no parameter and no part of a command. Each firing of an alert is one request, however often
Alertmanager sends it. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec

from otel_metrics.catalog.model import Catalog
from otel_metrics.remediation.model import Request
from otel_metrics.remediation.scopes import metric_of, no_playbook, scope_of
from otel_metrics.service.samples import BandName, Resource

__all__ = ["PLAYBOOK_LABEL", "Alert", "Unusable", "Webhook", "request_of"]

NAME_CHARACTERS_MAX: Final = 256
"""A longer label names nothing that is known."""
REASON_CHARACTERS_MAX: Final = 500
RESOURCE_LABELS: Final = ("resource", "service_resource_id", "instance")
"""Which resource an alert is about: the first of these that it has. The second is what metrics of
this project carry."""
SCOPE_LABEL: Final = "resource_scope"
PLAYBOOK_LABEL: Final = "playbook"
METRIC_LABEL: Final = "metric"
BANDS: Final[Mapping[str, BandName]] = {"warning": "warning", "critical": "critical"}
"""What label `severity` says of a band."""

_FINGERPRINT: Final = r"^[0-9a-f]{1,64}\Z"


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
    if scope is None and playbook not in catalog.playbooks:
        return Unusable(detail=no_playbook(playbook, catalog.playbooks))
    if scope is None:
        return Unusable(
            detail=f"it has no label {SCOPE_LABEL}, and nothing else says what kind of resource "
            "it is"
        )
    if max(map(len, (playbook, resource, scope))) > NAME_CHARACTERS_MAX:
        return Unusable(detail=f"a label is longer than {NAME_CHARACTERS_MAX} characters")
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
        metric=metric or metric_of(playbook, catalog),
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

"""Tells of a recommendation to which nothing is bound: an event, a log line, the webhook."""

import logging

from otel_metrics.remediation import entries
from otel_metrics.remediation.model import Configuration, Request
from otel_metrics.remediation.trail import Emit

__all__ = ["NOTIFIED", "notify"]

NOTIFIED = "remediation.notified"

_logger = logging.getLogger("otel_metrics.remediation")


def notify(request: Request, configuration: Configuration | None, emit: Emit) -> None:
    """Tell of a request. Never raises."""
    fields = entries.notified(request)
    emit(NOTIFIED, fields)
    said = f"{request.playbook} for {request.target.scope} {request.target.id}: {request.reason}"
    _logger.warning(
        "remediation: recommended is %s; nothing is bound to it, so that nothing is done",
        said.encode("unicode_escape").decode(),  # a label of a metric may hold anything
    )
    notice = None if configuration is None else configuration.notice
    if notice is None:
        return
    try:
        sent = notice.send(NOTIFIED, fields)
    except Exception as error:  # noqa: BLE001  # it must not, and the engine goes on
        _logger.warning("remediation: the webhook of notices failed: %s", error)
    else:
        if sent.verdict != "succeeded":
            _logger.warning("remediation: the webhook of notices failed: %s", sent.detail)

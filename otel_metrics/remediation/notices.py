"""Tells of a recommendation to which nothing is bound: an event, a log line, the webhook."""

import logging
from collections.abc import Mapping

from otel_metrics.rejections import reject
from otel_metrics.remediation import entries
from otel_metrics.remediation.model import Configuration, Notice, Request
from otel_metrics.remediation.trail import Emit
from otel_metrics.remediation.workers import Hand

__all__ = ["NOTIFIED", "notify"]

NOTIFIED = "remediation.notified"

_logger = logging.getLogger("otel_metrics.remediation")


def notify(request: Request, configuration: Configuration | None, emit: Emit, tell: Hand) -> None:
    """Tell of a request. Never raises.

    Args:
        tell: has the webhook called, which may take its time; false where too many calls wait.
    """
    fields = entries.notified(request)
    emit(NOTIFIED, fields)
    said = f"{request.playbook} for {request.target.scope} {request.target.id}: {request.reason}"
    _logger.warning(
        "remediation: recommended is %s; nothing is bound to it, so that nothing is done",
        said.encode("unicode_escape").decode(),  # a label of a metric may hold anything
    )
    notice = None if configuration is None else configuration.notice
    if notice is not None and tell(lambda: _send(notice, fields)) is False:
        reject(NOTIFIED, "queue_full", "notices that the webhook has time for")


def _send(notice: Notice, fields: Mapping[str, object]) -> None:
    try:
        sent = notice.send(NOTIFIED, fields)
    except Exception as error:  # noqa: BLE001  # it must not, and the engine goes on
        _logger.warning("remediation: the webhook of notices failed: %s", error)
    else:
        if sent.verdict != "succeeded":
            _logger.warning("remediation: the webhook of notices failed: %s", sent.detail)

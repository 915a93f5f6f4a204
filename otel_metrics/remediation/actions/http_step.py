"""The step `http`, and the webhook that is told of what is only notified."""

import datetime
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from otel_metrics import values
from otel_metrics.remediation.actions import http
from otel_metrics.remediation.model import StepResult, Value
from otel_metrics.remediation.placeholders import Body, filled

__all__ = ["HttpStep", "notice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpStep:
    """Calls a host of the allow-list; satisfies `model.Step`.

    Attributes:
        body: JSON with placeholders for values; None sends none.
    """

    target: http.Target
    body: Body

    def plan(self, parameters: Mapping[str, Value]) -> tuple[str, ...]:
        """Return method, URL and body.

        Raises:
            ValueError: the body is too long, or a value is missing.
        """
        return (self.target.method, self.target.url, self._sent(parameters).decode())

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        """Send it and wait for the reply. Never raises."""
        try:
            body = self._sent(parameters)
        except ValueError as error:
            detail = f"{self.target.method} {self.target.url}: not sent: {error}"
            return StepResult(verdict="failed", detail=detail)
        # Of a run that is done again the receiver knows each call; two of one run are not one.
        said = f"{self.target.method} {self.target.url} ".encode() + body
        message_id = f"{run_id}-{hashlib.sha256(said).hexdigest()[:16]}"
        return http.call(self.target, body, message_id=message_id, stopped=stopped)

    def _sent(self, parameters: Mapping[str, Value]) -> bytes:
        if self.body is None:
            return b""
        body = json.dumps(filled(self.body, parameters), allow_nan=False).encode()
        if len(body) > http.BODY_BYTES_MAX:
            raise ValueError(f"its body has more than {http.BODY_BYTES_MAX:,} bytes")
        return body


def notice(target: http.Target) -> Callable[[str, Mapping[str, object]], StepResult]:
    """Return what sends an event with its fields, as Standard Webhooks has payloads."""

    def send(event: str, fields: Mapping[str, object]) -> StepResult:
        at = datetime.datetime.now(datetime.UTC).isoformat()
        payload = {"type": event, "timestamp": at, "data": values.clean(fields)}
        body = json.dumps(payload, default=str).encode()
        if len(body) > http.BODY_BYTES_MAX:
            detail = f"{target.url}: not sent: {event} has more than {http.BODY_BYTES_MAX:,} bytes"
            return StepResult(verdict="failed", detail=detail)
        return http.call(target, body, message_id=str(uuid.uuid4()), stopped=lambda: False)

    return send

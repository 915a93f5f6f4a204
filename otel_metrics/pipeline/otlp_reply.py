"""What a server's answer means: the reply of one attempt, in words that hold no secret.

Nothing is called delivered that the server did not call so.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from otel_metrics.pipeline.otlp_settings import Signal
from otel_metrics.pipeline.otlp_values import MASK, Headers

__all__ = ["CREDENTIALS_HINT", "RESPONSE_BYTES_MAX", "Redactor", "Reply", "judge"]

RESPONSE_BYTES_MAX: Final = 4 * 2**20
"""Of a longer reply nothing is believed (OTLP 1.9, response size)."""
MESSAGE_CHARS_MAX: Final = 200
"""Characters of a server's message that are kept."""
CREDENTIALS_HINT: Final = "check OTEL_EXPORTER_OTLP_HEADERS"
"""Ends the reason where the server does not know who sends, or does not let them."""
PART_CHARS_MIN: Final = 4
"""A shorter part of a header's value, such as `1` in `Basic 1`, is no secret of its own."""

_RESPONSES: Final[
    Mapping[Signal, type[ExportMetricsServiceResponse] | type[ExportLogsServiceResponse]]
] = {"metrics": ExportMetricsServiceResponse, "logs": ExportLogsServiceResponse}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one attempt came to.

    Attributes:
        ok: whether the server said that it took everything.
        reason: why not; or, where it did, what it had to say beside that.
        retryable: whether the same request may succeed later.
        answered: whether there was a server at all.
        wait_s: seconds that the server asked to wait.
        rejected: points or records that it did not want, where it took the rest.
        too_large: whether it may take the request in parts.
    """

    ok: bool
    reason: str | None = None
    retryable: bool = False
    answered: bool = True
    wait_s: float | None = None
    rejected: int = 0
    too_large: bool = False


class Redactor:
    """Makes a stranger's text fit for a log line: no secret, nothing unprintable, not long."""

    def __init__(self, headers: Headers) -> None:
        secrets = {part for _, value in headers for part in _parts(value.reveal())}
        self._secrets = sorted(secrets, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        shown = "".join(char if char.isprintable() else " " for char in self._masked(text))
        # Again, as a secret may appear when what was between its words becomes a space.
        return self._masked(" ".join(shown.split()))[:MESSAGE_CHARS_MAX]

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def judge(body: bytes, signal: Signal, redact: Redactor, *, is_json: bool = False) -> Reply:
    """Return what the body of a successful status says."""
    response = _RESPONSES[signal]()
    try:
        if is_json:
            json_format.Parse(body, response, ignore_unknown_fields=True)
        else:
            response.ParseFromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError):
        start = redact(body[: 4 * MESSAGE_CHARS_MAX].decode("utf-8", "replace"))
        return Reply(ok=False, reason=f"unreadable reply: {start}")
    if isinstance(response, ExportMetricsServiceResponse):
        rejected, kind = response.partial_success.rejected_data_points, "data points"
    else:
        rejected, kind = response.partial_success.rejected_log_records, "log records"
    message = redact(response.partial_success.error_message)
    if rejected:
        reason = f"partial success: {rejected} {kind} rejected"
        said = f"{reason}: {message}" if message else reason
        return Reply(ok=False, reason=said, rejected=rejected)
    return Reply(ok=True, reason=message or None)


def _parts(value: str) -> set[str]:
    """Return what a server may echo of a header's value: all of it, its token, user, password."""
    token = value.partition(" ")[2].strip()
    parts = {token}
    if value[:6].lower() == "basic ":
        try:
            pair = base64.b64decode(token, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            pair = ""
        parts |= {pair, pair.partition(":")[2]}
    return {value, " ".join(value.split())} - {""} | {
        part for part in parts if len(part) >= PART_CHARS_MIN
    }

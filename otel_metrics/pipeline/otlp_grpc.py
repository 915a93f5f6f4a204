"""OTLP over gRPC: one unary call with bytes on a channel of our own.

Imports grpc, so this module is imported when the first batch is sent, and not before.
"""

import re
import time
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from otel_metrics.pipeline.otlp_reply import (
    CREDENTIALS_HINT,
    RESPONSE_BYTES_MAX,
    Redactor,
    Reply,
    judge,
)
from otel_metrics.pipeline.otlp_settings import OtlpSettings
from otel_metrics.version import __version__

__all__ = ["GrpcTransport"]

METHODS: Final = {
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
NOT_LET_IN: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
RETRYABLE: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
"""OTLP 1.9, table of gRPC status codes; RESOURCE_EXHAUSTED only with a RetryInfo."""
UNANSWERED: Final = ("failed to connect to all addresses", "lookup error", "DNS resolution failed")
"""What gRPC says when there was no server. A wrong guess changes how often it is tried again."""
OPTIONS: Final = (
    ("grpc.primary_user_agent", f"otel-metrics/{__version__}"),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
    # A new channel connects anew, and does not inherit the long pauses of one that failed.
    ("grpc.use_local_subchannel_pool", 1),
)
_TOO_LARGE = re.compile(r"(?i)larger than max|exceeds max|exceeds the max|too (?:large|big|long)")
"""What gRPC's servers in C, Go, Java and .NET say of a message over their limit."""

_abandoned: list[object] = []
"""A parent's channels. Closing or collecting one in a forked child hangs or crashes it."""


class GrpcTransport:
    """The gRPC side of an exporter. Not thread-safe, but for `interrupt`."""

    def __init__(self, settings: OtlpSettings, redact: Redactor) -> None:
        self._settings = settings
        self._redact = redact
        self._metadata = tuple((name, value.reveal()) for name, value in settings.headers)
        self._channel: Any = None
        self._call: Any = None

    def pack(self, request: bytes) -> bytes:
        """Return the request as it is: gRPC compresses for itself."""
        return request

    def send(self, request: bytes, deadline: float) -> Reply:
        """Make one attempt, by `deadline` (`time.monotonic`). Never raises."""
        try:
            if self._channel is None:
                self._open()
            timeout_s = max(0.0, deadline - time.monotonic())
            body = self._call(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return self._failed(error)
        except OSError as error:
            words = self._redact(f"cannot read {error.filename}: {error.strerror}")
            return Reply(ok=False, reason=f"tls: {words} ({self._settings.address})")
        except Exception as error:  # noqa: BLE001  # gRPC's own words for what it does not take
            return Reply(ok=False, reason=f"{type(error).__name__}: {self._redact(str(error))}")
        return judge(body, self._settings.signal, self._redact)

    def interrupt(self) -> None:
        """End the call that is under way. May be called from any thread."""
        channel = self._channel
        if channel is not None:
            channel.close()

    def close(self) -> None:
        """Close the channel; the next attempt opens another."""
        channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()

    def abandon(self) -> None:
        """Forget a parent's channel in a forked child, without a call into it."""
        _abandoned.append(self._channel)
        _abandoned.append(self._call)
        self._channel = self._call = None

    def _open(self) -> None:
        settings = self._settings
        # As upstream: host and port of a URL, or a target of gRPC's own.
        target = urlsplit(settings.endpoint).netloc or settings.endpoint
        compression = (
            grpc.Compression.Gzip
            if settings.compression == "gzip"
            else grpc.Compression.NoCompression
        )
        if settings.insecure:
            self._channel = grpc.insecure_channel(target, OPTIONS, compression)
        else:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=_read(settings.certificate),
                private_key=_read(settings.client_key),
                certificate_chain=_read(settings.client_certificate),
            )
            self._channel = grpc.secure_channel(target, credentials, OPTIONS, compression)
        self._call = self._channel.unary_unary(METHODS[settings.signal])

    def _failed(self, error: Any) -> Reply:
        name = error.code().name
        details = error.details() or ""
        if name == "UNAVAILABLE":
            self.close()
        wait_s = _retry_delay(error.trailing_metadata() or ())
        hint = f"; {CREDENTIALS_HINT}" if name in NOT_LET_IN else ""
        return Reply(
            ok=False,
            reason=f"{name}: {self._words(name, details)} ({self._settings.address}){hint}",
            retryable=name in RETRYABLE or (name == "RESOURCE_EXHAUSTED" and wait_s is not None),
            answered=not any(words in details for words in UNANSWERED),
            wait_s=wait_s,
            too_large=(
                name == "RESOURCE_EXHAUSTED"
                and wait_s is None
                and _TOO_LARGE.search(details) is not None
            ),
        )

    def _words(self, name: str, details: str) -> str:
        """Return gRPC's long story in short, where it is one of the everyday ones."""
        if "Connection refused" in details:
            return "connection refused"
        if "lookup error" in details or "DNS resolution failed" in details:
            return "the name has no address"
        if name == "DEADLINE_EXCEEDED" and details == "Deadline Exceeded":
            return "no answer in time"
        return self._redact(details.partition("last error:")[2] or details)


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def _retry_delay(metadata: Any) -> float | None:
    """Return the seconds that a RetryInfo asks to wait: by itself, or in the status' details."""
    for key, value in metadata:
        try:
            if key == "google.rpc.retryinfo-bin":
                return _seconds(error_details_pb2.RetryInfo.FromString(value))
            if key == "grpc-status-details-bin":
                for detail in status_pb2.Status.FromString(value).details:
                    info = error_details_pb2.RetryInfo()
                    if detail.Unpack(info):
                        return _seconds(info)
        except DecodeError:
            continue
    return None


def _seconds(info: Any) -> float:
    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)

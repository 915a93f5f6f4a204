"""Ships metrics and events by OTLP: our own call over upstream's encoder, gRPC or HTTP/protobuf.

One export has one deadline for connecting, sending, receiving and trying again. It is delivered
when the server said so, and else failed, with the server's reason.

Threads: a lane's thread calls `export`; `shutdown` and `stats` may be called from any.
"""

import logging
import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar, Unpack

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from otel_metrics.pipeline import loading
from otel_metrics.pipeline.batch import count_points, cut, cut_points, joined
from otel_metrics.pipeline.delivery import Outcome
from otel_metrics.pipeline.otlp_settings import (
    Arguments,
    OtlpSettings,
    Problem,
    from_arguments,
    settings,
)
from otel_metrics.pipeline.otlp_splitting import TOO_LARGE, LeftOut, RequestSize, Sizes
from otel_metrics.pipeline.otlp_values import Secret
from otel_metrics.pipeline.otlp_variables import VARIABLES

if TYPE_CHECKING:
    from otel_metrics.pipeline.otlp_encoding import Encoded
    from otel_metrics.pipeline.otlp_reply import Reply

__all__ = [
    "VARIABLES",
    "OtlpLogExporter",
    "OtlpMetricExporter",
    "OtlpSettings",
    "OtlpStats",
    "Problem",
    "Secret",
    "settings",
]

REQUEST_BYTES_MAX: Final = 64 * 2**20
"""A larger request, before compression, is sent in parts (OTLP 1.9, request size)."""
REFUSED_MAX: Final = 500
"""Points that are too large by themselves, after which a server that has taken nothing of a batch
is not sent the others."""
ATTEMPTS_MAX: Final = 6
"""Of one export, as upstream."""
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 5.0
RETRY_AFTER_MAX_S: Final = 60.0
"""A server that asks to wait longer is asked again after this time."""
WARNING_INTERVAL_S: Final = 300.0
"""What a server remarks, and what could not be encoded, is logged at most this often."""

_logger = logging.getLogger("otel_metrics.pipeline")

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpStats:
    """Plain numbers of one exporter, since it was made or since the fork.

    Attributes:
        exported: points or records that the server took.
        failed: points or records of exports that failed; one that is sent again counts again.
        rejected: points or records that were never sent, by reason.
        bytes_sent: of requests that the server took, before compression.
    """

    exported: int
    failed: int
    rejected: Mapping[str, int]
    bytes_sent: int


class _Transport(Protocol):
    """One way to a server: `GrpcTransport` or `HttpTransport`."""

    def pack(self, request: bytes) -> bytes: ...
    def send(self, request: bytes, deadline: float) -> "Reply": ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


class _Exporter(Generic[Batch]):
    """What both signals share: attempts, verdicts, counts."""

    unanswered_max: int
    """Attempts of one export while there is no server at all."""

    def __init__(self, made_of: OtlpSettings) -> None:
        self.settings = made_of
        self._transport: _Transport | None = None
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._exporting = threading.Lock()
        self._woken = threading.Event()
        self._closed = False
        self._hold_until = 0.0
        self._last_reason = ""
        self._exported = self._failed = self._bytes_sent = 0
        self._rejected: Counter[str] = Counter()
        self._sizes = Sizes()
        self._warned: dict[str, tuple[str, float]] = {}

    def export(self, batch: Batch, timeout_s: float) -> Outcome:
        """Deliver one batch within `timeout_s` seconds, or the settings' if that is less.

        Never raises. What cannot be encoded is left out, counted and named in the reason; that
        alone is no failure, since sending it again would not help.
        """
        if self._process != os.getpid():
            self.after_fork()
        deadline = time.monotonic() + min(timeout_s, self.settings.timeout_s)
        with self._exporting:
            try:
                return self._export(batch, deadline)
            except Exception as error:  # nothing may leave the lane
                _logger.debug("export by OTLP failed", exc_info=True)
                return Outcome(ok=False, reason=f"internal error: {type(error).__name__}")

    def probe(self, timeout_s: float) -> Outcome:
        """Send a request with nothing in it, to learn whether the endpoint takes any."""
        deadline = time.monotonic() + min(timeout_s, self.settings.timeout_s)
        with self._exporting:
            try:
                reply = self._deliver(self._opened().pack(b""), deadline)
            except Exception as error:  # noqa: BLE001  # as in `export`
                return Outcome(ok=False, reason=f"internal error: {type(error).__name__}")
        return Outcome(ok=reply.ok, reason=None if reply.ok else reply.reason)

    def shutdown(self, timeout_s: float) -> None:
        """End an export that is under way, and close the connection, within `timeout_s`."""
        self._closed = True
        self._woken.set()
        transport = self._transport
        if transport is None:
            return
        if not self._exporting.acquire(blocking=False):
            transport.interrupt()
            if not self._exporting.acquire(timeout=max(0.0, timeout_s)):
                return
        try:
            transport.close()
        finally:
            self._exporting.release()

    def after_fork(self) -> None:
        """Begin anew in a forked child: own connection, locks and counts."""
        inherited, self._transport = self._transport, None
        self._begin()
        if inherited is not None:
            inherited.abandon()

    def stats(self) -> OtlpStats:
        """Return the counts so far."""
        return OtlpStats(
            exported=self._exported,
            failed=self._failed,
            rejected=dict(self._rejected),
            bytes_sent=self._bytes_sent,
        )

    def _encode(self, batch: Batch) -> "Encoded":
        raise NotImplementedError

    def _count(self, batch: Batch) -> int:
        """Return how many points or records a batch holds."""
        raise NotImplementedError

    def _cut(self, batch: Batch, parts: int) -> list[Batch]:
        """Return a batch in so many parts, or in as many as there are points or records."""
        raise NotImplementedError

    def _name(self, batch: Batch) -> str:
        """Return what a batch of one point or record is called in a log line."""
        raise NotImplementedError

    def _rest(self, parts: Sequence[Batch]) -> MetricsData | None:
        """Return the batch that is sent again for these parts, where any is."""
        raise NotImplementedError

    def _export(self, batch: Batch, deadline: float) -> Outcome:
        """Send a batch in as many requests as the server wants; end at the first that fails."""
        if self._closed:
            return Outcome(ok=False, reason="shut down")
        self._load()
        self._woken.clear()
        self._sizes.begin(time.monotonic())
        parts = deque(self._cut(batch, self._sizes.parts(self._count(batch))))
        left_out = LeftOut()
        delivered = rejected = 0
        unwanted: Reply | None = None
        while parts:
            part = parts.popleft()
            encoded = self._encode(part)
            reply = self._send(encoded, deadline)
            halves = self._cut(part, 2) if reply.too_large else []
            if len(halves) > 1:
                parts.extendleft(reversed(halves))
                continue
            left_out.add_unencodable(encoded.rejected, encoded.names)
            if reply.ok or reply.rejected:
                delivered += max(0, encoded.items - reply.rejected)
                rejected += reply.rejected
            elif reply.too_large and (delivered or left_out.counts[TOO_LARGE] < REFUSED_MAX):
                left_out.add_large(self._name(part))
            else:
                return self._failure(reply, part, parts, delivered, left_out)
            unwanted = unwanted if reply.ok else reply
        said = self._note_left_out(left_out)
        if unwanted is not None and (rejected or not delivered):
            return Outcome(
                ok=False,
                reason=unwanted.reason,
                final=True,
                rejected=rejected,
                delivered=delivered,
            )
        return Outcome(ok=True, reason=said or None, left_out=left_out.counts.total())

    def _failure(
        self,
        reply: "Reply",
        part: Batch,
        after: Sequence[Batch],
        delivered: int,
        left_out: LeftOut,
    ) -> Outcome:
        """Account for a part that failed, and for those after it, which were not sent."""
        self._note_left_out(left_out)
        self._failed += sum(map(self._count, (part, *after)))
        final = reply.answered and not reply.retryable
        unsent = after if final else (part, *after)
        return Outcome(
            ok=False,
            reason="shut down" if self._closed else reply.reason,
            final=final,
            delivered=delivered,
            rest=self._rest(unsent) if after or delivered else None,
        )

    def _send(self, encoded: "Encoded", deadline: float) -> "Reply":
        """Deliver one request, unless it is empty or known to be too large."""
        from otel_metrics.pipeline.otlp_reply import Reply  # lazily, see `_load`

        request = encoded.request
        if not request:
            return Reply(ok=True)
        packed = self._opened().pack(request)
        size = RequestSize(len(request), len(packed))
        if size.plain > REQUEST_BYTES_MAX or self._sizes.is_refused(size, encoded.items):
            reason = f"a request of {size.plain} bytes is too large ({self.settings.address})"
            return Reply(ok=False, reason=reason, too_large=True)
        if time.monotonic() >= deadline:
            return Reply(ok=False, reason="no time was left for all of its parts", retryable=True)
        reply = self._deliver(packed, deadline)
        if reply.too_large:
            self._sizes.refuse(size, time.monotonic())
        elif reply.ok:
            self._sizes.take(size, encoded.items)
            self._exported += encoded.items
            self._bytes_sent += size.plain
            if reply.reason:
                self._warn("remark", f"the server took everything, and says: {reply.reason}")
        elif reply.rejected:
            self._failed += encoded.items
        return reply

    def _deliver(self, packed: bytes, deadline: float) -> "Reply":
        """Attempt until the server took it, does not want it, or there is no time left."""
        transport = self._opened()
        held = self._held(deadline)
        if held is not None:
            return held
        for attempt in range(1, ATTEMPTS_MAX + 1):
            reply = transport.send(packed, deadline)
            pause_s = self._pause_s(reply, attempt)
            if pause_s is None or time.monotonic() + pause_s >= deadline:
                break
            if self._woken.wait(pause_s):
                break
        return reply

    def _pause_s(self, reply: "Reply", attempt: int) -> float | None:
        """Return the seconds before the next attempt, or None where there should be none."""
        if reply.retryable and reply.wait_s is not None:
            self._hold_until = time.monotonic() + min(reply.wait_s, RETRY_AFTER_MAX_S)
            self._last_reason = reply.reason or ""
        attempts_max = ATTEMPTS_MAX if reply.answered else self.unanswered_max
        if reply.ok or not reply.retryable or attempt >= attempts_max or self._closed:
            return None
        backoff_s = min(BACKOFF_FIRST_S * float(2 ** (attempt - 1)), BACKOFF_MAX_S)
        backoff_s *= random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing
        return max(backoff_s, min(reply.wait_s or 0.0, RETRY_AFTER_MAX_S))

    def _held(self, deadline: float) -> "Reply | None":
        """Wait as long as a server asked for in an earlier export; fail where that is too long."""
        from otel_metrics.pipeline.otlp_reply import Reply  # lazily, see `_load`

        hold_s = self._hold_until - time.monotonic()
        if hold_s <= 0:
            return None
        if self._hold_until < deadline and not self._woken.wait(hold_s):
            return None
        reason = f"{self._last_reason}; it asked to wait another {hold_s:.0f} s"
        return Reply(ok=False, reason=reason)

    def _load(self) -> None:
        # On the lane's thread and when there is something to send: importing protobuf's messages
        # takes 30 ms, and gRPC 50 ms more.
        if self._transport is None:
            with loading.lock():
                from otel_metrics.pipeline import otlp_encoding  # noqa: F401  # for `_encode`

                self._opened()

    def _opened(self) -> _Transport:
        from otel_metrics.pipeline.otlp_reply import Redactor

        if self._transport is None:
            redact = Redactor(self.settings.headers)
            if self.settings.protocol == "grpc":
                # gRPC's own lines at standard error would come once an attempt.
                os.environ.setdefault("GRPC_VERBOSITY", "NONE")
                from otel_metrics.pipeline.otlp_grpc import GrpcTransport

                self._transport = GrpcTransport(self.settings, redact)
            else:
                from otel_metrics.pipeline.otlp_http import HttpTransport

                self._transport = HttpTransport(self.settings, redact)
        return self._transport

    def _note_left_out(self, left_out: LeftOut) -> str:
        """Count what is in no request, and return what to say of it."""
        self._rejected.update(left_out.counts)
        said = str(left_out)
        if said:
            self._warn("rejected", said)
        return said

    def _warn(self, kind: str, text: str) -> None:
        said, at = self._warned.get(kind, ("", -WARNING_INTERVAL_S))
        now = time.monotonic()
        if text != said and now - at >= WARNING_INTERVAL_S:
            self._warned[kind] = (text, now)
            _logger.warning("exporter otlp (%s): %s", self.settings.signal, text)


class OtlpMetricExporter(_Exporter[MetricsData]):
    """Ships metrics. Arguments have the meaning of the variables; none is read from them.

    Example:
        >>> exporter = OtlpMetricExporter(endpoint="http://localhost:4317", timeout_s=2.0)
        >>> exporter.settings.address
        'localhost:4317'

    Raises:
        ConfigurationError: an argument cannot be used.
    """

    unanswered_max = 2  # the next batch says all that this one did, and a flush wants to know

    def __init__(
        self,
        *,
        temporality: str = "cumulative",
        histogram_aggregation: str = "explicit_bucket_histogram",
        **arguments: Unpack[Arguments],
    ) -> None:
        self._use(
            from_arguments(
                "metrics",
                temporality=temporality,
                histogram_aggregation=histogram_aggregation,
                **arguments,
            )
        )

    @classmethod
    def from_settings(cls, made_of: OtlpSettings) -> Self:
        """Make one of settings that were read from variables."""
        made = cls.__new__(cls)
        made._use(made_of)
        return made

    def _use(self, made_of: OtlpSettings) -> None:
        super().__init__(made_of)
        # Named as in the SDK's exporters, so that a reader can be made to suit either.
        self._preferred_temporality = made_of.preferred_temporality
        self._preferred_aggregation = made_of.preferred_aggregation

    def _encode(self, batch: MetricsData) -> "Encoded":
        from otel_metrics.pipeline.otlp_encoding import encode_metric_batch  # see `_load`

        return encode_metric_batch(batch)

    def _count(self, batch: MetricsData) -> int:
        return count_points(batch)

    def _cut(self, batch: MetricsData, parts: int) -> list[MetricsData]:
        return cut_points(batch, parts)

    def _name(self, batch: MetricsData) -> str:
        return batch.resource_metrics[0].scope_metrics[0].metrics[0].name

    def _rest(self, parts: Sequence[MetricsData]) -> MetricsData:
        return joined(parts)


class OtlpLogExporter(_Exporter[Sequence[ReadableLogRecord]]):
    """Ships log records. Arguments have the meaning of the variables; none is read from them.

    Raises:
        ConfigurationError: an argument cannot be used.
    """

    unanswered_max = 4  # no later batch holds these records: some 3 s, as a restart may take

    def __init__(self, **arguments: Unpack[Arguments]) -> None:
        super().__init__(from_arguments("logs", **arguments))

    @classmethod
    def from_settings(cls, made_of: OtlpSettings) -> Self:
        """Make one of settings that were read from variables."""
        made = cls.__new__(cls)
        _Exporter.__init__(made, made_of)
        return made

    def _encode(self, batch: Sequence[ReadableLogRecord]) -> "Encoded":
        from otel_metrics.pipeline.otlp_encoding import encode_log_batch  # see `_load`

        return encode_log_batch(batch)

    def _count(self, batch: Sequence[ReadableLogRecord]) -> int:
        return len(batch)

    def _cut(
        self, batch: Sequence[ReadableLogRecord], parts: int
    ) -> list[Sequence[ReadableLogRecord]]:
        return cut(batch, parts)

    def _name(self, batch: Sequence[ReadableLogRecord]) -> str:
        return batch[0].log_record.event_name or "log record"

    def _rest(self, parts: Sequence[Sequence[ReadableLogRecord]]) -> None:
        """Return nothing: what a lane for records failed to send is lost, and counted."""

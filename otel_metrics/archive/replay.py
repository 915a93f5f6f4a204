"""Sends an archive's records to an OTLP endpoint, once more or for the first time.

What is sent is what was exported: the same times, values, resource and scope. A record may reach
the endpoint twice when an answer was lost on its way (the request is sent again), when a replay
was killed between an answer and the cursor (its last batch), and when a live service had sent it
itself. OTLP has no ids for records: a backend that keeps a series' cumulative points by their
time takes a second one for the first, but events and points of delta temporality count twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from otel_metrics.archive.batches import Batch
from otel_metrics.archive.cursor import Cursor
from otel_metrics.pipeline.otlp import OtlpLogExporter, OtlpMetricExporter

__all__ = ["Replay", "Senders"]

MESSAGES_MAX: Final = 20
"""Different remarks of the server that are kept."""

Senders = dict[str, OtlpMetricExporter | OtlpLogExporter]
"""The exporter of each signal, `metrics` and `events`."""


@dataclass(slots=True, kw_only=True)
class Replay:
    """One run, and what became of it.

    Attributes:
        senders: where each signal goes.
        cursor: moved on after each batch that the endpoint answered for.
        requests: batches that were answered for.
        accepted: records that the endpoint took.
        rejected: records that it did not want; it will not want them next time either.
        left_out: records that OTLP has no way to say.
        messages: why some were rejected, in the endpoint's words, and how often it said so.
        failure: why the run ended early; None where it did not.
    """

    senders: Senders
    cursor: Cursor | None = None
    requests: int = 0
    accepted: int = 0
    rejected: int = 0
    left_out: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    failure: str | None = None

    def run(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Send batch after batch, and return each that was answered for.

        Ends at the first that cannot be delivered: what is behind it keeps its turn.
        """
        for batch in batches:
            if not self._send(batch):
                return
            if self.cursor is not None and batch.reached is not None:
                self.cursor.reach(batch.segment, batch.reached)
            yield batch

    def close(self) -> None:
        """Close the connections."""
        for sender in self.senders.values():
            sender.shutdown(timeout_s=1.0)

    def _send(self, batch: Batch) -> bool:
        sender: Any = self.senders[batch.segment.signal]
        left_out = _left_out(sender)
        outcome = sender.export(batch.data, sender.settings.timeout_s)
        left_out = _left_out(sender) - left_out
        if not outcome.ok and (not outcome.rejected or outcome.rest is not None):
            self.failure = outcome.reason or "not delivered"
            return False
        if not outcome.ok and outcome.reason is not None:
            self._remark(outcome.reason)  # what was left out, the exporter logs
        rejected = max(0, min(outcome.rejected, batch.records - left_out))
        self.requests += 1
        self.left_out += left_out
        self.rejected += rejected
        self.accepted += batch.records - left_out - rejected
        return True

    def _remark(self, message: str) -> None:
        if message in self.messages or len(self.messages) < MESSAGES_MAX:
            self.messages[message] = self.messages.get(message, 0) + 1


def _left_out(sender: OtlpMetricExporter | OtlpLogExporter) -> int:
    """Return how many records a sender has left out so far; an exemplar alone is no record."""
    rejected = sender.stats().rejected
    return sum(rejected.get(reason, 0) for reason in ("unencodable", "too_large"))

"""What became of a batch: the verdict of one attempt, of one exporter, and of a flush.

A verdict is never better than the truth: `delivered` is said only of what the other side took.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from opentelemetry.sdk.metrics.export import MetricsData

__all__ = ["DELIVERED", "FlushResult", "MetricSender", "Outcome", "Status", "Verdict"]

Status = Literal["delivered", "failed", "timed_out"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to.

    Attributes:
        ok: whether the other side took the batch.
        reason: in plain words, why it did not.
        final: sending the same batch again would not help.
        rejected: points or records that the other side does not want, where it took the rest.
        left_out: points or records that were never sent, and would not be next time.
        delivered: points or records of a failed batch that it took before the failure.
        rest: what is to be sent again after a failure, where that is not the whole batch.
    """

    ok: bool
    reason: str | None = None
    final: bool = field(default=False, compare=False)
    rejected: int = field(default=0, compare=False)
    left_out: int = field(default=0, compare=False)
    delivered: int = field(default=0, compare=False)
    rest: MetricsData | None = field(default=None, compare=False)


DELIVERED = Outcome(ok=True)


class MetricSender(Protocol):
    """The push side of an exporter, as a lane calls it: on its thread, one batch at a time."""

    def export(self, metrics_data: MetricsData, timeout_s: float) -> Outcome:
        """Deliver one batch within `timeout_s` seconds; never raise."""

    def shutdown(self, timeout_s: float) -> None:
        """End what is under way and release what is held, within `timeout_s` seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a flush came to for one exporter.

    Attributes:
        status: `delivered`, `failed` or `timed_out`.
        reason: why it was not delivered; None when it was.
    """

    status: Status
    reason: str | None = None

    @property
    def ok(self) -> bool:
        """Whether everything recorded before the flush is with the other side."""
        return self.status == "delivered"


class FlushResult(Mapping[str, Verdict]):
    """The verdict of each push exporter, by name and as an attribute: `result.otlp.ok`."""

    __slots__ = ("_verdicts",)

    def __init__(self, verdicts: Mapping[str, Verdict]) -> None:
        self._verdicts = dict(verdicts)

    @property
    def ok(self) -> bool:
        """Whether every exporter delivered."""
        return all(verdict.ok for verdict in self._verdicts.values())

    def __getitem__(self, exporter: str) -> Verdict:
        return self._verdicts[exporter]

    def __iter__(self) -> Iterator[str]:
        return iter(self._verdicts)

    def __len__(self) -> int:
        return len(self._verdicts)

    def __getattr__(self, exporter: str) -> Verdict:
        try:
            return self._verdicts[exporter]
        except KeyError:
            known = ", ".join(sorted(self._verdicts)) or "none"
            raise AttributeError(
                f"no push exporter is named {exporter!r}; there are: {known}"
            ) from None

    def __repr__(self) -> str:
        return f"FlushResult({self._verdicts!r})"

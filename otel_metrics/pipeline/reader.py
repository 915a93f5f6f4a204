"""The SDK readers behind the hub, and behind each lane that needs its own.

The SDK's limit of attribute sets holds for a reader, and not for an instrument. So it is as large
as the catalog needs: what our handles admit is never cut short, and the service's own instruments,
which no handle is in front of, are bounded all the same.
"""

from typing import Any, Final

from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
    _Gauge,
)
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

from otel_metrics import instruments
from otel_metrics.pipeline.overflow import OverflowWatch

__all__ = ["BoundedReader", "HubReader"]

_KINDS: Final[tuple[type, ...]] = (
    Counter,
    UpDownCounter,
    Histogram,
    _Gauge,  # the SDK's synchronous gauge; it has no public name
    ObservableCounter,
    ObservableUpDownCounter,
    ObservableGauge,
)


class BoundedReader(MetricReader):
    """A reader that keeps what it was last given. Collected by one thread at a time.

    Make it when the catalog in force is known: its largest budget is the limit.
    """

    def __init__(self, **preferences: Any) -> None:  # the SDK's own keywords
        # One more than the budget: the SDK makes its overflow series beside the sets that it
        # counts, but a handle's own is one of these when it arrives before the last of them.
        limit = instruments.largest_budget() + 1
        super().__init__(cardinality_limits=dict.fromkeys(_KINDS, limit), **preferences)
        self._received: MetricsData | None = None

    def take(self, timeout_s: float) -> MetricsData | None:
        """Collect and return what there is, None when there is nothing."""
        self._received = None
        self.collect(timeout_millis=timeout_s * 1000)
        received, self._received = self._received, None
        return received

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,  # the SDK's signature
    ) -> None:
        del timeout_millis, kwargs
        self._received = metrics_data

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing: the hub owns what this reader feeds."""


class HubReader(BoundedReader):
    """The one reader that sees every instrument: it says when one of the service's own overflows.

    A lane's own reader sees the same instruments, and would count them twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self._watch = OverflowWatch()

    def take(self, timeout_s: float) -> MetricsData | None:
        """Collect and return what there is; count what overflowed since the last time."""
        collected = super().take(timeout_s)
        if collected is not None:
            self._watch.look(collected)
        return collected

"""The SDK reader behind the hub, and behind each lane that needs its own."""

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

__all__ = ["CARDINALITY_UNLIMITED", "UnlimitedReader"]

CARDINALITY_UNLIMITED: Final[dict[type, int]] = dict.fromkeys(
    (
        Counter,
        UpDownCounter,
        Histogram,
        _Gauge,  # the SDK's synchronous gauge; it has no public name
        ObservableCounter,
        ObservableUpDownCounter,
        ObservableGauge,
    ),
    2**31,
)
"""Our handles keep the series budget, in front of the SDK; its own limit would drop silently."""


class UnlimitedReader(MetricReader):
    """A reader that keeps what it was last given. Collected by one thread at a time."""

    def __init__(self, **preferences: Any) -> None:  # the SDK's own keywords
        super().__init__(cardinality_limits=CARDINALITY_UNLIMITED, **preferences)
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

"""Lets a lane drive an exporter of the SDK's kind, which answers in an enum and milliseconds."""

from collections import Counter

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from otel_metrics.pipeline.delivery import Outcome

__all__ = ["SdkSender"]


class SdkSender:
    """A `MetricExporter` as a lane calls it."""

    def __init__(self, exporter: MetricExporter) -> None:
        self._exporter = exporter

    def export(self, metrics_data: MetricsData, timeout_s: float) -> Outcome:
        """Export one batch; the reason is the exporter's own where it gives one, and so is the
        count of what it left out."""
        before = self._dropped()
        result = self._exporter.export(metrics_data, timeout_millis=timeout_s * 1000)
        if result is MetricExportResult.SUCCESS:
            left_out = self._dropped() - before
            said = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
            reason = f"left out: {said}" if said else None
            return Outcome(ok=True, reason=reason, left_out=left_out.total())
        reason = getattr(self._exporter, "last_error", None)
        return Outcome(ok=False, reason=reason or "the exporter returned FAILURE")

    def shutdown(self, timeout_s: float) -> None:
        """Close the exporter."""
        self._exporter.shutdown(timeout_millis=timeout_s * 1000)

    def _dropped(self) -> Counter[str]:
        """Return what the exporter says that it has dropped so far, where it keeps count."""
        stats = getattr(self._exporter, "stats", None)
        return Counter(getattr(stats(), "dropped", {}) if callable(stats) else {})

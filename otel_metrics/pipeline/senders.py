"""Lets a lane drive an exporter of the SDK's kind, which answers in an enum and milliseconds."""

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from otel_metrics.pipeline.delivery import DELIVERED, Outcome

__all__ = ["SdkSender"]


class SdkSender:
    """A `MetricExporter` as a lane calls it."""

    def __init__(self, exporter: MetricExporter) -> None:
        self._exporter = exporter

    def export(self, metrics_data: MetricsData, timeout_s: float) -> Outcome:
        """Export one batch; the reason is the exporter's own where it gives one."""
        result = self._exporter.export(metrics_data, timeout_millis=timeout_s * 1000)
        if result is MetricExportResult.SUCCESS:
            return DELIVERED
        reason = getattr(self._exporter, "last_error", None)
        return Outcome(ok=False, reason=reason or "the exporter returned FAILURE")

    def shutdown(self, timeout_s: float) -> None:
        """Close the exporter."""
        self._exporter.shutdown(timeout_millis=timeout_s * 1000)

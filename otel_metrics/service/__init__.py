"""Service telemetry: where values come from, the bands that they lie in, windows of them."""

from otel_metrics.service.registry import register, unregister

__all__ = ["register", "unregister"]

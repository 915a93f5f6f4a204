"""What runs of whole agents came to."""

from otel_metrics.executions.recorder import record

__all__ = ["record"]

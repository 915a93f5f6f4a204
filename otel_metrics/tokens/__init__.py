"""What model calls use and cost."""

from otel_metrics.tokens.calls import configure
from otel_metrics.tokens.recorder import record, record_response

__all__ = ["configure", "record", "record_response"]

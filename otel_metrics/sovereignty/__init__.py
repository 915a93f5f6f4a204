"""How much of the work is done without a model, and what the rest costs."""

from otel_metrics.sovereignty.recorder import EVENT_TYPES, record

__all__ = ["EVENT_TYPES", "record"]

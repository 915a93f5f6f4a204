"""The catalog as documents: reference pages, and later rules and dashboards."""

from otel_metrics.render.docs import (
    commands_page,
    environment_page,
    events_page,
    metrics_page,
    reference,
)

__all__ = ["commands_page", "environment_page", "events_page", "metrics_page", "reference"]

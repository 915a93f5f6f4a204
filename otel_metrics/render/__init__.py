"""The catalog as documents: reference pages, rules of Prometheus, dashboards of Grafana."""

from otel_metrics.render.docs import (
    commands_page,
    environment_page,
    events_page,
    metrics_page,
    playbooks_page,
    reference,
)
from otel_metrics.render.grafana import dashboard_files
from otel_metrics.render.prometheus import rule_files

__all__ = [
    "commands_page",
    "dashboard_files",
    "environment_page",
    "events_page",
    "metrics_page",
    "playbooks_page",
    "reference",
    "rule_files",
]

"""Metrics for Prometheus: a page of its own, with the names that the collector gives."""

from otel_exporter_prometheus.errors import ListenError, PrometheusError, SettingError
from otel_exporter_prometheus.reader import PrometheusMetricReader
from otel_exporter_prometheus.server import MetricsServer

__all__ = [
    "ListenError",
    "MetricsServer",
    "PrometheusError",
    "PrometheusMetricReader",
    "SettingError",
]

"""How a program of this comparison attaches metrics: by upstream's packages, or by ours.

Both read the same standard variables, and what follows in a program is the same on both sides
where it can be: `metrics.get_meter(…)`, the API of OpenTelemetry.
"""

from typing import Final

__all__ = ["OURS", "PLAIN_OTLP", "PLAIN_PAGE"]

PLAIN_OTLP: Final = """
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
metrics.set_meter_provider(provider)
flush = provider.force_flush
"""

PLAIN_PAGE: Final = """
import os
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server

start_http_server(int(os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"]), "127.0.0.1")
provider = MeterProvider([PrometheusMetricReader()])
metrics.set_meter_provider(provider)
"""

OURS: Final = """
import otel_metrics
from opentelemetry import metrics

telemetry = otel_metrics.configure(metrics_exporter=["ndjson", "otlp", "prometheus"])
flush = telemetry.flush
"""

"""One exponential histogram (Logfire makes all of them so) beside a page for Prometheus."""

from typing import Final

from tests.compare.lab import scraped
from tests.compare.pain import Pain

__all__ = ["PAIN"]

PLAIN: Final = """
import os
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from prometheus_client import start_http_server

start_http_server(int(os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"]), "127.0.0.1")
exponential = View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider([PrometheusMetricReader()], views=[exponential])
"""

OURS_PROGRAM: Final = """
import otel_metrics
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

exponential = View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider(views=[exponential])
otel_metrics.configure(metrics_exporter="prometheus", meter_provider=provider)
"""

RECORD: Final = """
meter = provider.get_meter("shop")
meter.create_counter("orders").add(1)
meter.create_histogram("seconds").record(0.2)
print("ready", flush=True)
input()
"""


PAIN: Final = Pain(
    title="One exponential histogram: `/metrics` answers",
    reported=("open-telemetry/opentelemetry-collector-contrib#13443",),
    plain=PLAIN + RECORD,
    ours=OURS_PROGRAM + RECORD,
    measure=scraped,
    hurts=lambda status: status != 200,
    shown=lambda status: f"HTTP {status}",
)

"""A service with its own MeterProvider: the bundle joins it and replaces nothing.

The service's own instruments land in the archive beside the bundle's.

Needs `pip install otel-metrics`. Run it in the folder that holds examples/; the second command
shows the service's own counter in the archive:

    python examples/own_provider.py
    otel-metrics archive cat --metric shop.checkouts
"""

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

import otel_metrics
from otel_metrics import skills

mine = MeterProvider(resource=Resource.create({"service.name": "own-provider"}))
metrics.set_meter_provider(mine)

telemetry = otel_metrics.configure(metrics_exporter="ndjson")

metrics.get_meter("shop").create_counter("shop.checkouts", unit="{checkout}").add(3)
skills.record_fidelity(
    "triage", pattern_fidelity=0.9, patterns_followed=9, patterns_missed=1, agent="support"
)

print(f"the provider is the service's own: {metrics.get_meter_provider() is mine}")
print("in ./telemetry" if telemetry.flush(timeout=5).ok else "not archived")

"""A catalog of one's own: a metric is declared in YAML and recorded by its name.

otel-metrics catalog check examples/user_catalog/shop.yaml
"""

from pathlib import Path

import otel_metrics
from otel_metrics import instruments

telemetry = otel_metrics.configure(
    service_name="user-catalog",
    metrics_exporter="ndjson",
    catalog=Path(__file__).with_name("shop.yaml"),
)

checkouts = instruments.metric("shop.checkouts")
checkouts.add(1, {"shop.payment.method": "card"})
checkouts.add(1, {"shop.payment.method": "invoice", "customer.id": "42"})  # not listed: dropped

telemetry.flush(timeout=5)

"""A catalog of one's own: a metric is declared in YAML and recorded by its name.

An attribute that the file does not list is left out, counted in `metric.rejected`, and named once
in the log.

Needs `pip install otel-metrics`. Run it in the folder that holds examples/; the first command
checks the file, the last one shows what was counted:

    otel-metrics catalog check examples/user_catalog/shop.yaml
    python examples/user_catalog/app.py
    otel-metrics archive cat --metric shop.checkouts
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

print("in ./telemetry" if telemetry.flush(timeout=5).ok else "not archived")

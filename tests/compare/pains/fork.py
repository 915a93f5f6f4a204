"""A parent that counted forks workers: what it counted arrives once more from each of them."""

import json
from typing import Final

from otel_exporter_ndjson import read
from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import Lab, summed
from tests.compare.pain import Pain

__all__ = ["PAIN"]

BEFORE, EACH, CHILDREN = 100, 10, 4
TRUE_TOTAL: Final = BEFORE + CHILDREN * EACH

PROGRAM: Final = f"""
import os, sys, time
orders = metrics.get_meter("shop").create_counter("orders")
orders.add({BEFORE})
for _ in range({CHILDREN}):
    if os.fork() == 0:
        orders.add({EACH})
        sys.exit()
for _ in range({CHILDREN}):
    os.wait()
flush()
"""

PAGE: Final = """
import urllib.request
for _ in range(30):
    with urllib.request.urlopen(f"http://127.0.0.1:{telemetry.metrics_port}/metrics") as answer:
        page = answer.read().decode()
    if "orders_total 140.0" in page:
        break
    time.sleep(0.1)
print(page)
"""


def measure(lab: Lab, program: str) -> dict[str, float]:
    """Return what each place that the program exports to says was ordered in all."""
    page, _ = lab.run(program)
    totals = {"OTLP": lab.backend.total("orders")}
    if page:
        totals["page"] = summed(page, "orders_total")
    if lab.archive.exists():
        totals["archive"] = archived(lab)
    return totals


def archived(lab: Lab) -> float:
    """Return the newest value of each writer and series in the archive, added up."""
    newest: dict[tuple[str, str], float] = {}
    for record in read(lab.archive, signal="metrics"):
        if record.data.get("metric") == "orders" and record.data["kind"] == "metric":
            newest[record.instance, json.dumps(record.data["attributes"])] = record.data["value"]
    return sum(newest.values())


def shown(totals: dict[str, float]) -> str:
    counts = sorted({f"{total:.0f}" for total in totals.values()})
    if len(counts) == 1:
        return f"{counts[0]} of {TRUE_TOTAL} orders"
    said = ", ".join(f"{place} {total:.0f}" for place, total in totals.items())
    return f"{said} of {TRUE_TOTAL} orders"


PAIN: Final = Pain(
    title="100 counted, then 4 forked children count 10 each",
    reported=(
        "open-telemetry/opentelemetry-python#3307",
        "open-telemetry/opentelemetry-python#4345",
    ),
    plain=PLAIN_OTLP + PROGRAM,
    ours=OURS + PROGRAM + PAGE,
    measure=measure,
    hurts=lambda totals: set(totals.values()) != {TRUE_TOTAL},
    shown=shown,
)

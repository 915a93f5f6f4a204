"""A gauge of something that is gone: the SDK exports its last value for ever."""

from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

EXPORTS: Final = 3

PLAIN: Final = (
    PLAIN_OTLP
    + f"""
open_carts = metrics.get_meter("shop").create_gauge("shop.carts.open")
open_carts.set(1)
flush()
# The carts are gone, and the API has no way to say so.
for _ in range({EXPORTS}):
    flush()
"""
)

CATALOG: Final = """
file_format: definition/2
metrics:
  - name: shop.carts.open
    brief: Carts that are open.
    instrument: gauge
    unit: "{cart}"
    stability: development
    annotations: {prometheus: shop_carts_open, value_type: int, merge: sum, ttl: 1s}
"""

OURS_PROGRAM: Final = (
    f"""
import os, time
with open("shop.yaml", "w") as file:
    file.write({CATALOG!r})
os.environ["OTEL_PYTHON_METRICS_CATALOG"] = "shop.yaml"
"""
    + OURS
    + f"""
from otel_metrics import instruments
open_carts = instruments.metric("shop.carts.open")
open_carts.set(1)
flush()
time.sleep(1.5)
for _ in range({EXPORTS}):
    flush()
"""
)


def measure(lab: Lab, program: str) -> int:
    """Return how often the value arrives after it has gone."""
    lab.run(program)
    return len(lab.backend.gauge("shop.carts.open")) - 1


PAIN: Final = Pain(
    title="A gauge whose subject is gone",
    reported=("open-telemetry/opentelemetry-python#4220",),
    plain=PLAIN,
    ours=OURS_PROGRAM,
    measure=measure,
    hurts=lambda stale: stale != 0,
    shown=lambda stale: f"is exported {stale} more times",
)

"""A library has set the global MeterProvider first: whoever sets one later is refused."""

from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

ORDERS: Final = 3

LIBRARY: Final = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
metrics.set_meter_provider(MeterProvider())
"""

PROGRAM: Final = f"""
metrics.get_meter("shop").create_counter("orders").add({ORDERS})
flush()
"""


def measure(lab: Lab, program: str) -> float:
    """Return what arrives."""
    lab.run(program)
    return lab.backend.total("orders")


PAIN: Final = Pain(
    title="A library has set a MeterProvider before the service does",
    reported=("BerriAI/litellm#30549", "scaleapi/scale-agentex#287"),
    plain=LIBRARY + PLAIN_OTLP + PROGRAM,
    ours=LIBRARY + OURS + PROGRAM,
    measure=measure,
    hurts=lambda arrived: arrived != ORDERS,
    shown=lambda arrived: f"{arrived:.0f} of {ORDERS} orders",
)

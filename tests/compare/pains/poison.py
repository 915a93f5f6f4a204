"""One value that OTLP cannot carry, among good ones."""

from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

ORDERS: Final = 3

PROGRAM: Final = f"""
meter = metrics.get_meter("shop")
meter.create_gauge("open").set(True)
orders = meter.create_counter("orders")
for _ in range({ORDERS}):
    orders.add(1)
    flush()
"""


def measure(lab: Lab, program: str) -> float:
    """Return what arrives of a good counter, over three exports."""
    lab.run(program)
    return lab.backend.total("orders")


PAIN: Final = Pain(
    title="After one `gauge.set(True)`: what OTLP still delivers",
    reported=(),
    plain=PLAIN_OTLP + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda arrived: arrived != ORDERS,
    shown=lambda arrived: f"{arrived:.0f} of {ORDERS} orders",
)

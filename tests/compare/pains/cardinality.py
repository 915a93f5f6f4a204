"""An attribute with too many values: sums by label undercount from then on, and who did it?"""

from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

PROGRAM: Final = """
import logging
logging.basicConfig()
logging.getLogger("opentelemetry").setLevel(logging.DEBUG)
orders = metrics.get_meter("shop").create_counter("orders")
for number in range(5_000):
    orders.add(1, {"route": "/pay", "customer": f"c{number}"})
flush()
"""


def measure(lab: Lab, program: str) -> list[str]:
    """Return the log lines that name the metric, at the most talkative level."""
    _, log = lab.run(program)
    return [line for line in log.splitlines() if "orders" in line]


def names_attribute(lines: list[str]) -> bool:
    return any("attribute customer" in line for line in lines)


PAIN: Final = Pain(
    title="5,000 customers in one attribute: what the log says",
    reported=("open-telemetry/opentelemetry-python#2700", "vectorize-io/hindsight#857"),
    plain=PLAIN_OTLP + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda lines: not names_attribute(lines),
    shown=lambda lines: "names `customer`" if names_attribute(lines) else "nothing",
)

"""Two replicas of a service that look alike: does a backend add them up, or mix them?"""

from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

EACH: Final = 10

PROGRAM: Final = f"""
metrics.get_meter("shop").create_counter("orders").add({EACH})
flush()
"""


def measure(lab: Lab, program: str) -> float:
    """Return what two runs of one program add up to."""
    lab.run(program)
    lab.run(program)
    return lab.backend.total("orders")


PAIN: Final = Pain(
    title="Two replicas",
    reported=("can1357/oh-my-pi#10840", "open-telemetry/opentelemetry-python#4390"),
    plain=PLAIN_OTLP + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda total: total != 2 * EACH,
    shown=lambda total: f"{total:.0f} of {2 * EACH} orders",
)

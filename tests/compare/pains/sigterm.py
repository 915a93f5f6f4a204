"""`docker stop`, Kubernetes and systemd end a process by SIGTERM."""

import signal
from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import DEADLINE_S, Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

ORDERS: Final = 25

PROGRAM: Final = f"""
import signal
metrics.get_meter("shop").create_counter("orders").add({ORDERS})
print("ready", flush=True)
while True:
    signal.pause()
"""


def measure(lab: Lab, program: str) -> float:
    """Return what of the last interval arrived."""
    process = lab.start(program)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.wait(DEADLINE_S)
    return lab.backend.total("orders")


PAIN: Final = Pain(
    title="SIGTERM: what of the last interval arrives",
    reported=("open-telemetry/opentelemetry-lambda#272",),
    plain=PLAIN_OTLP + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda arrived: arrived != ORDERS,
    shown=lambda arrived: f"{arrived:.0f} of {ORDERS} orders",
)

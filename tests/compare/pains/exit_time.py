"""A collector that is down must not keep a service from ending."""

import time
from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import DEADLINE_S, NOBODY, Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

BEARABLE_S: Final = 2.5
"""Our budget, 2 s, and half a second for the interpreter."""

PROGRAM: Final = """
metrics.get_meter("shop").create_counter("orders").add(1)
print("the work is done", flush=True)
"""


def measure(lab: Lab, program: str) -> float:
    """Return the seconds from a program's last statement to its end."""
    process = lab.start(program, OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY)
    assert process.stdout is not None
    process.stdout.readline()
    begun = time.monotonic()
    process.wait(DEADLINE_S)
    return time.monotonic() - begun


PAIN: Final = Pain(
    title="Exit with a dead collector takes",
    reported=(
        "open-telemetry/opentelemetry-python#4043",
        "open-telemetry/opentelemetry-python#3309",
    ),
    plain=PLAIN_OTLP + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda seconds: seconds > BEARABLE_S,
    shown=lambda seconds: f"{seconds:.1f} s",
)

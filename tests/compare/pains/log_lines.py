"""A collector that is away for a while must not fill the service's log."""

from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import NOBODY, Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

INTERVALS: Final = 10

PROGRAM: Final = f"""
import time
metrics.get_meter("shop").create_counter("orders").add(1)
time.sleep({INTERVALS})
"""


def measure(lab: Lab, program: str) -> int:
    """Return the lines that a program logs over ten intervals with nobody at the endpoint."""
    _, log = lab.run(
        program,
        OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY,
        OTEL_METRIC_EXPORT_INTERVAL="1000",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    return len(log.splitlines())


PAIN: Final = Pain(
    title=f"Log lines in {INTERVALS} intervals without a collector",
    reported=(
        "open-telemetry/opentelemetry-python#3261",
        "open-telemetry/opentelemetry-python#4712",
    ),
    plain=PLAIN_OTLP + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda lines: lines > 2,
    shown=lambda lines: f"{lines} lines" if lines != 1 else "1 line",
)

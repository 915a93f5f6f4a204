"""Who flushes before the end of a job wants to know whether it arrived."""

from typing import Final

from tests.compare.attach import OURS, PLAIN_OTLP
from tests.compare.lab import NOBODY, Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

PLAIN: Final = (
    PLAIN_OTLP
    + """
metrics.get_meter("shop").create_counter("orders").add(1)
print("delivered" if provider.force_flush() else "failed")
"""
)

OURS_PROGRAM: Final = (
    OURS
    + """
metrics.get_meter("shop").create_counter("orders").add(1)
print(telemetry.flush().otlp.status)
"""
)


def measure(lab: Lab, program: str) -> str:
    """Return what a flush says while nobody is at the endpoint."""
    said, _ = lab.run(program, OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY)
    return said.strip()


PAIN: Final = Pain(
    title="Flush to a dead collector says",
    reported=("open-telemetry/opentelemetry-python#5020",),
    plain=PLAIN,
    ours=OURS_PROGRAM,
    measure=measure,
    hurts=lambda said: said == "delivered",
    shown=lambda said: f'"{said}"',
)

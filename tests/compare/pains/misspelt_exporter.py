"""One name in a list of exporters is misspelt: what becomes of the others?"""

from typing import Final

from tests.compare.lab import Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

ORDERS: Final = 3

PLAIN: Final = """
from opentelemetry.instrumentation.auto_instrumentation import initialize
initialize()
"""

OURS: Final = """
import otel_metrics
otel_metrics.configure()
"""

PROGRAM: Final = f"""
from opentelemetry import metrics
metrics.get_meter("shop").create_counter("orders").add({ORDERS})
"""


def measure(lab: Lab, program: str) -> float:
    """Return what the exporter whose name is right delivers."""
    lab.run(program, OTEL_METRICS_EXPORTER="otlp,promethues", OTEL_TRACES_EXPORTER="none")
    return lab.backend.total("orders")


PAIN: Final = Pain(
    title="`OTEL_METRICS_EXPORTER=otlp,promethues`: what OTLP delivers",
    reported=("open-telemetry/opentelemetry-python#3428",),
    plain=PLAIN + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda arrived: arrived != ORDERS,
    shown=lambda arrived: f"{arrived:.0f} of {ORDERS} orders",
)

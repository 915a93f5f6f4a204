"""A plain script: one line attaches telemetry, a context manager records a skill's outcome.

Run it, then look at what it left: otel-metrics archive cat --event skill.outcome
"""

import otel_metrics
from otel_metrics import skills

telemetry = otel_metrics.configure(service_name="plain-script", metrics_exporter="ndjson")

MESSAGES = {
    "Where is my parcel?": "shipping",
    "I want my money back": "refund",
    "Refund my shipping costs": "refund",
}


def decide(message: str) -> str:
    """Return the queue that a message belongs to: this script's idea of intelligence."""
    return "shipping" if "parcel" in message or "shipping" in message else "refund"


for message, expected in MESSAGES.items():
    with skills.execution("triage", agent="support") as run:
        run.outcome(decide(message), expected=expected, confidence=0.8)

print("delivered" if telemetry.flush(timeout=5).ok else "not delivered")

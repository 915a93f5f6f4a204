"""A plain script: one line attaches telemetry, a context manager records a skill's outcome.

Needs `pip install otel-metrics`. Run it in the folder that holds examples/; the second command
shows what it left:

    python examples/plain_script.py
    otel-metrics archive cat --event skill.outcome
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
        decision = decide(message)
        run.outcome(decision, expected=expected, confidence=0.8)
    print(f"{message} {decision}, expected {expected}")

print("in ./telemetry" if telemetry.flush(timeout=5).ok else "not archived")

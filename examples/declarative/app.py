"""Declarative configuration: the file says what runs, the code says only `configure()`.

Needs `pip install otel-metrics`. Run it in the folder that holds examples/; the second command
shows what it left:

    python examples/declarative/app.py
    otel-metrics archive cat --event 'sovereignty.*'
"""

from pathlib import Path

import otel_metrics
from otel_metrics import sovereignty

telemetry = otel_metrics.configure(config_file=Path(__file__).with_name("otel.yaml"))

sovereignty.record("decision_rule_hit", {"rule": "greeting"})
sovereignty.record("decision_llm_call", {"model": "m"})

print("in ./telemetry" if telemetry.flush(timeout=5).ok else "not archived")

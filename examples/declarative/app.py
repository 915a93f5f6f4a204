"""Declarative configuration: the file says what runs, the code says only `configure()`."""

from pathlib import Path

import otel_metrics
from otel_metrics import sovereignty

telemetry = otel_metrics.configure(config_file=Path(__file__).with_name("otel.yaml"))

sovereignty.record("decision_rule_hit", {"rule": "greeting"})
sovereignty.record("decision_llm_call", {"model": "m"})

telemetry.flush(timeout=5)

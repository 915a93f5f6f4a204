"""OTEL_PYTHON_METRICS_EVENT_CONTENT: what people wrote is not on the disk unless it is kept."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_exporter_ndjson import read

Run = Callable[..., subprocess.CompletedProcess[str]]

PROGRAM = """
import otel_metrics
from otel_metrics import events, executions, skills, sovereignty

TEXT = "Ms Rossi's boiler"
telemetry = otel_metrics.configure()
with skills.execution("triage", agent="support") as run:
    run.outcome(TEXT, expected=TEXT + "!", reasoning="because of " + TEXT)
skills.record_outcome("triage", decision={"for": TEXT}, correct=False, reasoning=TEXT)
skills.record_fidelity(
    "triage", patterns_followed=1, patterns_missed=["greets"], patterns_detail={"greets": TEXT}
)
skills.record_promotion(
    "triage", from_state="prototype", to_state="staged", approver="j.doe", approval_ticket="T-1",
    reason=TEXT, automated_checks={"note": TEXT},
)
skills.record_rollback(
    "triage", from_state="staged", to_state="prototype", trigger_reason=TEXT,
)
sovereignty.record("decision_llm_call", {"note": TEXT})
executions.record("researcher", success=True, metadata={"note": [TEXT]})
events.emit("skill.outcome", {"n": 1}, body=TEXT)
assert telemetry.flush(timeout=5).ok
"""


@pytest.mark.parametrize(
    ("content", "kept"), [("full", True), ("redacted", False), ("none", False)]
)
def test_no_text_is_on_the_disk_unless_it_is_kept(
    run: Run, tmp_path: Path, content: str, *, kept: bool
) -> None:
    """Every event is there in each mode; the texts only in `full`."""
    run(PROGRAM, env={"OTEL_PYTHON_METRICS_EVENT_CONTENT": content})

    written = b"".join(
        path.read_bytes() for path in (tmp_path / "telemetry").rglob("*.ndjson") if path.is_file()
    )
    assert (b"Rossi" in written) == kept
    assert (b"[redacted]" in written) == (content == "redacted")
    found = [record.data["event"] for record in read(tmp_path / "telemetry", signal="events")]
    assert len(found) == 9
    assert b'"gen_ai.agent.name":"support"' in written

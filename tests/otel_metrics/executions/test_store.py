"""`OTEL_PYTHON_METRICS_EXECUTIONS_DIR`: what a service records is in the files of its project."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SERVICE = """
import os, otel_metrics
from otel_metrics import executions
telemetry = otel_metrics.configure(metrics_exporter="none", host_metrics="off")
executions.record("reviewer", success=True, quality_score=0.9, idempotency_key="k")
pid = os.fork()
if not pid:
    executions.record("reviewer", success=False, idempotency_key="child")
    executions.record("reviewer", success=False, idempotency_key="k")
    os._exit(0)
os.waitpid(pid, 0)
executions.ExecutionFiles("project").append("reviewer", success=True, idempotency_key="file")
{then}
print(telemetry.flush(5)["execution_files"])
"""


def run(tmp_path: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SERVICE.replace("{then}", then)],
        cwd=tmp_path,
        env={**os.environ, "OTEL_PYTHON_METRICS_EXECUTIONS_DIR": "project"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def records(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "project/.kaizen/metrics/reviewer/executions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_recorded_is_in_the_files_once(tmp_path: Path) -> None:
    """By the service, by its children, and by itself; a flush answers for the files."""
    done = run(tmp_path)

    assert [each["idempotency_key"] for each in records(tmp_path)] == ["k", "child", "file"]
    assert "delivered" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_what_the_files_do_not_take_is_told(tmp_path: Path) -> None:
    """By the flush and in one line; the service goes on."""
    then = """
os.rename("project/.kaizen", "away")
open("project/.kaizen", "w").close()
executions.record("reviewer", success=True)
executions.record("reviewer", success=True)
"""
    done = run(tmp_path, then)

    assert "2 events were not kept in" in done.stdout
    assert done.stderr.count("execution_files: ") == 1

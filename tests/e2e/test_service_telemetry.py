"""Service telemetry that acts, on real load: from a figure out of its band to one back in it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_exporter_ndjson import read
from otel_exporter_ndjson.sealkey import new_key_text
from otel_metrics.archive.remediation_audit import entries
from tests.e2e.processes import Program, until

pytestmark = pytest.mark.slow

WAIT_S = 90.0
"""A busy machine takes its time."""
CPUS = 0.25
"""What the control group may use."""
BURNER = "while True: pass"
SERVICE = """
import sys
import otel_metrics
otel_metrics.configure()
print("ready", flush=True)
sys.stdin.read()
"""
CATALOG = """
file_format: definition/2
metric_refinements:
  - id: test.cpu
    ref: infra.cpu_utilization
    annotations:
      source: {type: host, statistic: cpu, scope: host, unit_name: percent, interval: 1s}
      playbooks: {warning: shift-load, critical: shift-load}
"""
PLAYBOOKS = """
enabled: true
programs: ["{folder}/stop-burner"]
policy:
  - {{tier: 2, decision: run}}
playbooks:
  shift-load:
    enabled: true
    steps:
      - program: {{path: "{folder}/stop-burner", arguments: ["${{target}}"]}}
    parameters: {{target: standby}}
    verification: {{metric: infra.cpu_utilization, band: good, within: 60s}}
"""


@pytest.fixture
def group() -> Iterator[Callable[[int], None]]:
    """Put a process into a control group of its own, whose CPU is limited; the test's own load is
    all that counts there. Listed as not run where the kernel or its owner does not let us."""
    roots = [Path(f"/sys/fs/cgroup/{controller}") for controller in ("cpu", "cpuacct")]
    folders = [root / f"otel-metrics-{os.getpid()}" for root in roots]
    try:
        for folder in folders:
            folder.mkdir()
        (folders[0] / "cpu.cfs_quota_us").write_text(str(int(CPUS * 100_000)))
    except OSError as error:
        pytest.skip(f"no control group of our own: {error}")

    def join(pid: int) -> None:
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(pid))

    yield join
    for folder, root in zip(folders, roots, strict=True):
        for pid in (folder / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(pid)
        folder.rmdir()


@pytest.fixture
def operator(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Write the operator's files, and return the variables that name them."""

    def write(playbooks: str, catalog: str = CATALOG) -> dict[str, str]:
        key = tmp_path / "seal.key"
        key.write_text(new_key_text())
        key.chmod(0o600)
        (tmp_path / "catalog.yaml").write_text(catalog)
        (tmp_path / "playbooks.yaml").write_text(playbooks.format(folder=tmp_path))
        (tmp_path / "playbooks.yaml").chmod(0o600)
        return {
            "OTEL_METRIC_EXPORT_INTERVAL": "1s",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE": str(key),
            "OTEL_PYTHON_METRICS_CATALOG": str(tmp_path / "catalog.yaml"),
            "OTEL_PYTHON_METRICS_SERVICE_DB": str(tmp_path / "service.db"),
            "OTEL_PYTHON_METRICS_SERVICE_WINDOW": "2s",
            "OTEL_PYTHON_METRICS_PLAYBOOKS": str(tmp_path / "playbooks.yaml"),
            "OTEL_PYTHON_METRICS_REMEDIATION_DB": str(tmp_path / "remediation.db"),
        }

    return write


def test_a_burner_of_cpu_is_stopped(
    group: Callable[[int], None], operator: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    """CPU is critical three times in a row; shift-load runs by policy, and CPU is good again."""
    burner = subprocess.Popen([sys.executable, "-c", BURNER])
    group(burner.pid)
    script = tmp_path / "stop-burner"
    script.write_text(f"#!/bin/sh\nkill -KILL {burner.pid}\n")
    script.chmod(0o700)
    program = Program(tmp_path, SERVICE, env=operator(PLAYBOOKS), talks=True)
    group(program.process.pid)
    try:
        program.await_ready()
        until(lambda: "remediation.verified" in _kinds(tmp_path), timeout_s=WAIT_S)
        until(lambda: "good" in _bands(tmp_path), timeout_s=WAIT_S)
        _, errors = program.finish()
        killed = burner.wait(1)
    finally:
        burner.kill()
        program.kill()
    said = dict(entries(tmp_path / "telemetry"))

    assert errors == ""
    assert killed == -signal.SIGKILL
    assert _kinds(tmp_path) == [
        "remediation.requested",
        "remediation.intent",
        "remediation.result",
        "remediation.verified",
    ]
    assert said["remediation.result"]["result"] == "succeeded"
    assert said["remediation.verified"]["result"] == "verified"
    [recommended] = _events(tmp_path, "service.recommendation")
    assert recommended["playbook_id"] == "shift-load"
    bands = _bands(tmp_path)
    assert bands.index("critical") < bands.index("good")


def _kinds(folder: Path) -> list[str]:
    return [event for event, _ in entries(folder / "telemetry")]


def _bands(folder: Path) -> list[str]:
    """Return the band in which each window of the metric ended."""
    snapshots = _events(folder, "service.snapshot")
    return [
        snapshot["latest_band"]
        for snapshot in snapshots
        if snapshot["metric_id"] == "infra.cpu_utilization"
    ]


def _events(folder: Path, name: str) -> list[dict[str, Any]]:
    return [
        record.data["attributes"]
        for record in read(folder / "telemetry", signal="events")
        if record.data.get("event") == name
    ]

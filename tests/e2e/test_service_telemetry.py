"""Service telemetry that acts, on real load: from a figure out of its band to one back in it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from otel_exporter_ndjson import read
from otel_exporter_ndjson.sealkey import new_key_text
from otel_metrics.archive.remediation_audit import entries
from tests.e2e.processes import Program, until
from tests.postgres import Postgres, running_postgres

pytestmark = pytest.mark.slow

WAIT_S = 90.0
"""A busy machine takes its time."""
CGROUPS = Path("/sys/fs/cgroup")
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
      source: {interval: 1s}
      playbooks: {warning: shift-load, critical: shift-load}
"""
WATCHING_SERVICE = """
import os, sys, time
import otel_metrics, psutil
from otel_metrics import service
burner = psutil.Process(int(os.environ["BURNER"]))
last = None
def share():
    global last
    before, last = last, (time.monotonic(), used())
    if before is None:
        return None
    return 100 * (last[1] - before[1]) / (last[0] - before[0])
def used():
    try:
        return sum(burner.cpu_times()[:2])
    except psutil.NoSuchProcess:  # or a dead one, where the system tells nothing of it
        return last[1]
service.register("infra.cpu_utilization", share)
otel_metrics.configure()
print("ready", flush=True)
sys.stdin.read()
"""
"""Watches the share of one CPU that the burner uses, and nothing else."""
WATCHING_CATALOG = """
file_format: definition/2
metric_refinements:
  - id: test.cpu
    ref: infra.cpu_utilization
    annotations:
      source: {type: callable, scope: host, unit_name: percent, interval: 1s}
      bands: {good: {upper: 0}, critical: {lower: 0.1}}
      playbooks: {warning: shift-load, critical: shift-load}
"""
"""A burner has a thousandth of a CPU however busy the machine is, and a dead one has nothing."""
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

QUEUE_CATALOG = """
file_format: definition/2
metric_refinements:
  - id: test.queue
    ref: executor.queue_depth
    annotations:
      source: {interval: 1s}
      bands: {good: {upper: 25}, critical: {lower: 200}}
"""
QUEUE_PLAYBOOKS = """
enabled: true
programs: ["{folder}/scale"]
policy:
  - {{tier: 1, metric: executor.queue_depth, actor: recommendation, decision: run}}
playbooks:
  scale-workers:
    enabled: true
    steps:
      - program: {{path: "{folder}/scale", arguments: ["${{workers}}"]}}
    verification: {{metric: executor.queue_depth, band: good, within: 2m}}
"""
POOL = """
import pathlib, subprocess, sys, time
folder, worker, url = sys.argv[1:]
workers = []
while True:
    wanted = int(pathlib.Path(folder, "wanted").read_text() or 0)
    while len(workers) < wanted:
        name = f"worker-{len(workers) + 1}"
        command = [sys.executable, worker, "work", url, "--name", name, "--task-s", "0.3"]
        workers.append(subprocess.Popen(command))
    time.sleep(0.1)
"""
"""Keeps as many workers running as the file `wanted` says."""
ASKED_PLAYBOOKS = """
enabled: true
programs: ["{folder}/add-node"]
playbooks:
  scale-nodes:
    enabled: true
    steps:
      - program: {{path: "{folder}/add-node", arguments: ["${{nodes}}"]}}
    parameters: {{nodes: 7}}
    verification: {{metric: infra.cpu_utilization, band: good, within: 60s}}
"""
ASKED_CATALOG = """
file_format: definition/2
metric_refinements:
  - id: test.cpu
    ref: infra.cpu_utilization
    annotations:
      source: {type: callable, scope: host, unit_name: percent, interval: 1s}
"""
ASKED_SERVICE = """
import pathlib, sys
import otel_metrics, uvicorn
from otel_metrics import service
from otel_metrics.web import governance_routes
from starlette.applications import Starlette
otel_metrics.configure()
added = pathlib.Path("added")
service.register("infra.cpu_utilization", lambda: {"web-1": 20.0 if added.exists() else 97.0})
uvicorn.run(Starlette(routes=governance_routes()), fd=int(sys.argv[1]), log_level="warning")
"""
ALICE, BOB = "alice-token-0123456789", "bob-token-0123456789"


@pytest.fixture(scope="module")
def postgres(component: Callable[[str], str]) -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with running_postgres(component("postgres")) as server:
        yield server


@pytest.fixture
def group() -> Iterator[Callable[[int], None]]:
    """Put a process into a control group of its own, whose CPU is limited; the test's own load is
    all that counts there. Listed as not run where the kernel or its owner does not let us."""
    is_unified = (CGROUPS / "cgroup.controllers").exists()
    roots = [CGROUPS] if is_unified else [CGROUPS / "cpu", CGROUPS / "cpuacct"]
    folders = [root / f"otel-metrics-{os.getpid()}" for root in roots]
    try:
        _limit(folders, is_unified=is_unified)
    except OSError as error:
        _remove(folders)
        pytest.skip(f"no control group of our own: {error}")

    def join(pid: int) -> None:
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(pid))

    yield join
    _remove(folders)


@pytest.fixture
def operator(tmp_path: Path) -> Callable[..., dict[str, str]]:
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
            "OTEL_SERVICE_NAME": f"shop-{secrets.token_hex(4)}",  # another's samples are its own
            "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE": str(key),
            "OTEL_PYTHON_METRICS_CATALOG": str(tmp_path / "catalog.yaml"),
            "OTEL_PYTHON_METRICS_SERVICE_DB": str(tmp_path / "service.db"),
            "OTEL_PYTHON_METRICS_SERVICE_WINDOW": "2s",
            "OTEL_PYTHON_METRICS_PLAYBOOKS": str(tmp_path / "playbooks.yaml"),
            "OTEL_PYTHON_METRICS_REMEDIATION_DB": str(tmp_path / "remediation.db"),
        }

    return write


def test_a_burner_of_cpu_is_stopped(
    operator: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """CPU is critical three times in a row; shift-load runs by policy, and CPU is good again."""
    _burn_until_stopped(tmp_path, WATCHING_SERVICE, operator(PLAYBOOKS, WATCHING_CATALOG))

    _assert_told_in_order(tmp_path)


def test_a_burner_in_a_control_group_is_stopped(
    group: Callable[[int], None], operator: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """Likewise where the figure is the host's own: the CPU of what the group may use."""
    _burn_until_stopped(tmp_path, SERVICE, operator(PLAYBOOKS), group)

    _assert_told_in_order(tmp_path)


def test_a_queue_that_grows_gets_a_second_worker(
    postgres: Postgres, operator: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """Tasks pile up in PostgreSQL; scale-workers has a second worker started, and the queue is
    worked off by both."""
    example = Path(__file__).parents[2] / "examples/service_telemetry"
    url = postgres.url(name := postgres.database((example / "schema.sql").read_text()))
    (tmp_path / "wanted").write_text("1")
    _script(tmp_path / "scale", f'echo "$1" > {tmp_path}/wanted')
    pool = Program(
        _folder(tmp_path / "pool"),
        command=[sys.executable, "-c", POOL, str(tmp_path), str(example / "worker.py"), url],
    )
    env = operator(QUEUE_PLAYBOOKS, QUEUE_CATALOG)
    program = Program(
        tmp_path, SERVICE, env={**env, "OTEL_PYTHON_METRICS_SERVICE_SQL_URL": url}, talks=True
    )
    try:
        program.await_ready()
        for number in range(1, 81):
            with postgres.connect(name) as database:
                database.execute(
                    "INSERT INTO tasks (id, queue, status, created_at) "
                    "VALUES (%s, 'emails', 'pending', now() AT TIME ZONE 'UTC')",
                    (number,),
                )
        until(lambda: "remediation.verified" in _kinds(tmp_path), timeout_s=WAIT_S)
        _, errors = program.finish()
    finally:
        pool.kill()
        program.kill()
    with postgres.connect(name) as database:
        workers = database.execute("SELECT id FROM workers ORDER BY id").fetchall()
    said = dict(entries(tmp_path / "telemetry"))

    assert errors == ""
    assert workers == [("worker-1",), ("worker-2",)]
    assert said["remediation.intent"]["resource"] == "queue/emails"
    assert said["remediation.verified"]["result"] == "verified"


def test_a_playbook_of_high_risk_waits_for_a_person_and_runs_once(
    operator: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """What the API lists, one person approves there; a second approval is refused."""
    _script(tmp_path / "add-node", f'echo "$1" >> {tmp_path}/added')
    env = operator(ASKED_PLAYBOOKS, ASKED_CATALOG)
    actors = tmp_path / "actors"
    actors.write_text(f"alice:approve:{ALICE}\nbob:read:{BOB}\n")
    actors.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as held:
        held.set_inheritable(True)
        (tmp_path / "program.py").write_text(ASKED_SERVICE)
        program = _Served(tmp_path, held, {**env, "OTEL_PYTHON_METRICS_ACTORS_FILE": str(actors)})
        try:
            until(lambda: program.call("GET", "?state=pending", ALICE)[1]["approvals"])
            _, listed = program.call("GET", "?state=pending", ALICE)
            [waiting] = listed["approvals"]
            place = f"/{waiting['id']}/decision"
            body = {"decision": "approve", "reason": "load is real"}
            by_reader, _ = program.call("POST", place, BOB, body)
            decided, _ = program.call("POST", place, ALICE, body)
            again, _ = program.call("POST", place, ALICE, body)
            until(lambda: "remediation.verified" in _kinds(tmp_path), timeout_s=WAIT_S)
        finally:
            program.end()
    said = dict(entries(tmp_path / "telemetry"))

    assert (by_reader, decided, again) == (403, 200, 409)
    assert (tmp_path / "added").read_text() == "7\n"
    assert said["remediation.approval"]["actor"] == "alice"
    assert said["remediation.verified"]["result"] == "verified"


class _Served:
    """A service whose routes are asked at the port that `held` listens on."""

    def __init__(self, folder: Path, held: socket.socket, env: dict[str, str]) -> None:
        self._url = f"http://127.0.0.1:{held.getsockname()[1]}/api/governance/approvals"
        self._process = subprocess.Popen(
            [sys.executable, str(folder / "program.py"), str(held.fileno())],
            cwd=folder,
            env={**os.environ, "OTEL_METRICS_EXPORTER": "ndjson", **env},
            pass_fds=[held.fileno()],
        )

    def call(
        self, method: str, place: str, token: str, body: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return status and JSON of an answer."""
        request = urllib.request.Request(
            self._url + place,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def end(self) -> None:
        """End it as an operator does."""
        self._process.terminate()
        self._process.wait(WAIT_S)


def _limit(folders: Sequence[Path], *, is_unified: bool) -> None:
    """Make control groups, or one for all controllers, that may use `CPUS`."""
    for folder in folders:
        folder.mkdir()
    quota = str(int(CPUS * 100_000))
    if is_unified:
        (CGROUPS / "cgroup.subtree_control").write_text("+cpu")
        (folders[0] / "cpu.max").write_text(f"{quota} 100000")
        (folders[0] / "cpu.weight").write_text("10000")
    else:
        (folders[0] / "cpu.cfs_quota_us").write_text(quota)
        (folders[0] / "cpu.shares").write_text("100000")


def _remove(folders: Sequence[Path]) -> None:
    """Remove control groups, and put what is still in them where they were made."""
    for folder in folders:
        if folder.exists():
            for pid in (folder / "cgroup.procs").read_text().split():
                (folder.parent / "cgroup.procs").write_text(pid)
            folder.rmdir()


def _burn_until_stopped(
    folder: Path,
    service: str,
    env: Mapping[str, str],
    group: Callable[[int], None] = lambda _: None,
) -> None:
    """Burn CPU beside a service until it has stopped that and its CPU is good again."""
    burner = subprocess.Popen([sys.executable, "-c", BURNER])
    program = None
    try:
        group(burner.pid)
        _script(folder / "stop-burner", f"kill -KILL {burner.pid}")
        program = Program(folder, service, env={**env, "BURNER": str(burner.pid)}, talks=True)
        group(program.process.pid)
        program.await_ready()
        until(lambda: "remediation.verified" in _kinds(folder), timeout_s=WAIT_S)
        until(lambda: "good" in _bands(folder), timeout_s=WAIT_S)
        _, errors = program.finish()
        killed = burner.wait(1)
    finally:
        burner.kill()
        burner.wait()
        if program is not None:
            program.kill()

    assert errors == ""
    assert killed == -signal.SIGKILL


def _assert_told_in_order(folder: Path) -> None:
    """Recommendation, intent, result and verification are there, each once and in this order."""
    said = dict(entries(folder / "telemetry"))
    assert _kinds(folder) == [
        "remediation.requested",
        "remediation.intent",
        "remediation.result",
        "remediation.verified",
    ]
    assert said["remediation.result"]["result"] == "succeeded"
    assert said["remediation.verified"]["result"] == "verified"
    [recommended] = _events(folder, "service.recommendation")
    assert recommended["playbook_id"] == "shift-load"
    assert said["remediation.requested"]["remediation.key"] == recommended["recommendation_id"]
    evidence = json.loads(str(said["remediation.requested"]["payload"]))["evidence"]
    values = evidence.pop("values")
    assert evidence == {
        name: recommended[name]
        for name in ("recommendation_id", "metric_id", "band", "confidence", "observed_at")
    }
    assert len(values) == 3
    assert recommended["reason"].endswith(f"the last is {values[-1]:g}")
    told = ["service.recommendation", *_kinds(folder)]
    assert [name for name in _names(folder) if name in told] == told
    derived = [
        action["playbook_id"]
        for snapshot in _events(folder, "service.snapshot")
        for action in snapshot["derived_actions"]
    ]
    assert derived == ["shift-load"]
    bands = _bands(folder)
    assert bands.index("critical") < bands.index("good")


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o700)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _kinds(folder: Path) -> list[str]:
    return [event for event, _ in entries(folder / "telemetry")]


def _bands(folder: Path) -> list[str]:
    """Return the band in which each window of the metric ended that had a value."""
    snapshots = _events(folder, "service.snapshot")
    return [
        snapshot["latest_band"]
        for snapshot in snapshots
        if snapshot["metric_id"] == "infra.cpu_utilization" and "latest_band" in snapshot
    ]


def _names(folder: Path) -> list[str]:
    """Return the name of each event, in the order in which they were written."""
    return [str(record.data.get("event")) for record in read(folder / "telemetry", signal="events")]


def _events(folder: Path, name: str) -> list[dict[str, Any]]:
    return [
        record.data["attributes"]
        for record in read(folder / "telemetry", signal="events")
        if record.data.get("event") == name
    ]

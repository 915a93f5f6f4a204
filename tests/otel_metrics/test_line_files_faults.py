"""Skill files and execution files on a disk that refuses for a while: B8 of the fault matrix.

A service records by the object that owns the files and by the store that follows its recorders,
before the fault, while it lasts, and when it is over.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from otel_exporter_ndjson import read
from tests.torture.figures import NotRunError
from tests.torture.mounts import needed, resize, tmpfs

pytestmark = pytest.mark.slow

DURING: Final = 5
"""Records by each of the two ways while the fault lasts."""
FILES: Final = {
    "skill_files": "s_performance.json",
    "execution_files": ".kaizen/metrics/s/executions.jsonl",
}
SERVICE: Final = """
import json, resource, sys
import otel_metrics
from otel_metrics import executions, skills

store, folder, archive, fault, during = sys.argv[1:]
setting = {"skill_files": "skills_dir", "execution_files": "executions_dir"}[store]
telemetry = otel_metrics.configure(
    host_metrics="off", prometheus_port=0, ndjson_path=archive, **{setting: folder}
)
if store == "skill_files":
    files = skills.MetricsAppender(folder)
    append = lambda: files.append_performance_metric("s", "by-object", 5.0, "a")
    record = lambda: skills.record_performance("s", execution_id="by-store", execution_time_ms=5.0)
else:
    files = executions.ExecutionFiles(folder)
    append = lambda: files.append("s", success=True, session_id="by-object")
    record = lambda: executions.record("s", success=True, session_id="by-store")

def say(times):
    answers = []
    for _ in range(times):
        answers.append(append())
        record()
    return answers

def report(answers):
    verdict = telemetry.flush(10)[store]
    told = [answers, files.last_error, verdict.ok, verdict.reason]
    print(json.dumps(told), flush=True)
    input()

assert append()
if store == "execution_files":
    files.close()  # or a database that is open keeps its disk from becoming read-only
report([])
before = resource.getrlimit(resource.RLIMIT_NOFILE)
if fault == "EMFILE":
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))  # what is open stays open
answers = say(int(during))
resource.setrlimit(resource.RLIMIT_NOFILE, before)
report(answers)
report(say(2))
telemetry.shutdown()
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A folder for the files, what begins and ends the fault there, and what runs the service."""

    folder: Path
    begin: Callable[[], object]
    end: Callable[[], object]
    run: Sequence[str] = (sys.executable,)


@contextmanager
def read_only_disk(parent: Path) -> Iterator[Fault]:
    try:
        with tmpfs(parent, "size=4m") as disk:
            yield Fault(disk, lambda: resize(disk, "ro"), lambda: resize(disk, "rw"))
    except NotRunError as reason:
        pytest.skip(f"not run: {reason}")


@contextmanager
def closed_folder(parent: Path) -> Iterator[Fault]:
    """Close the folder for its owner; root is run without the right to pass all the same."""
    run: tuple[str, ...] = (sys.executable,)
    if os.geteuid() == 0:
        rights = "-dac_override,-dac_read_search"
        try:
            run = (needed("setpriv", "util-linux"), f"--bounding-set={rights}", *run)
        except NotRunError as reason:
            pytest.skip(f"not run: {reason}")
    folder = parent / "files"
    folder.mkdir()
    yield Fault(folder, lambda: folder.chmod(0), lambda: folder.chmod(0o750), run)


@contextmanager
def few_descriptors(parent: Path) -> Iterator[Fault]:
    yield Fault(parent / "files", bool, bool)  # the service sees to it


FAULTS: Final[dict[str, Callable[[Path], AbstractContextManager[Fault]]]] = {
    "EROFS": read_only_disk,
    "EACCES": closed_folder,
    "EMFILE": few_descriptors,
}


def step(service: "subprocess.Popen[str]") -> Any:
    """Return what the service reports next."""
    assert service.stdout is not None
    line = service.stdout.readline()
    assert line, service.communicate()[1]
    return json.loads(line)


def rejected(archive: Path, store: str) -> float:
    """Return how many records the metrics say that a store's files did not take."""
    newest: dict[str, float] = {}
    for point in read(archive, signal="metrics"):
        about = point.data.get("attributes", {})
        if point.data.get("metric") == "delivery.rejected" and about["exporter"] == store:
            newest[about["reason"]] = point.data["value"]
    return sum(newest.values())


def go_on(service: "subprocess.Popen[str]") -> None:
    assert service.stdin is not None
    service.stdin.write("\n")
    service.stdin.flush()


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("store", FILES)
def test_a_disk_that_refuses_for_a_while_costs_only_what_it_refused(
    tmp_path: Path, store: str, name: str
) -> None:
    """Nothing is raised; what is lost is counted, and named once; then all is as before."""
    archive = tmp_path / "archive"
    with FAULTS[name](tmp_path) as fault:
        service = subprocess.Popen(
            [*fault.run, "-c", SERVICE, store, fault.folder, archive, name, str(DURING)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            before = step(service)
            fault.begin()
            go_on(service)
            during = step(service)
            fault.end()
            go_on(service)
            after = step(service)
            go_on(service)
            _, log = service.communicate(timeout=60)
        finally:
            service.kill()
        kept = (fault.folder / FILES[store]).read_text().splitlines()

    why = os.strerror(getattr(errno, name))
    assert before == [[], None, True, None]
    assert (during[0], during[2]) == ([False] * DURING, False)
    assert why in during[1]
    assert during[3].startswith(f"{DURING} events were not kept in {fault.folder}")
    assert after == [[True, True], None, True, None]
    assert service.returncode == 0, log
    assert [("by-object" in line, "by-store" in line) for line in kept] == [
        (True, False),
        *[(True, False), (False, True)] * 2,
    ]
    said = [line for line in log.splitlines() if store in line.replace(" files", "_files")]
    assert [why in line for line in said] == [True, True, False, False], log
    assert rejected(archive, store) == 2 * DURING

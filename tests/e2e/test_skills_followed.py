"""A service of several workers follows the decisions that commands make about its skills."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.services import Service, children, free_port, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WORKERS = 3
APP = """
import os
import otel_metrics
from otel_metrics import skills
otel_metrics.configure()
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/promote":
        skills.record_promotion("mail", from_state="prototype", to_state="staged")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
FORKS = """
import os
import otel_metrics
from otel_metrics import instruments
otel_metrics.configure()
for _ in range(2):
    if os.fork() == 0:
        break
instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
os.read(0, 1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a prototype that may be promoted."""
    path = tmp_path / "skills"
    path.mkdir()
    lines: dict[str, dict[str, object]] = {
        "triage_outcomes.json": {"correct": True, "decision": "a", "expected_decision": "a"},
        "triage_fidelity.json": {"pattern_fidelity": 1.0},
    }
    for name, record in lines.items():
        (path / name).write_text(json.dumps({"timestamp": 1.0, **record}) + "\n")
    (path / "thresholds.yaml").write_text(
        "defaults: {positive_decisions: [], critical_decisions: []}\n"
    )
    return path


def decide(tmp_path: Path, command: str, service: Service, *options: str) -> None:
    """Run `otel-metrics skills <command>` on the folder, for the archive of the service."""
    approval = ("--approver", "j.doe", "--ticket", "OPS-7")
    places = ("--skills-dir", "skills", "--archive", "telemetry", "--service", service.name)
    subprocess.run(
        [
            *(sys.executable, "-m", "otel_metrics", "skills", command, "triage"),
            *(*approval, *places, *options),
        ],
        cwd=tmp_path,
        check=True,
        timeout=60,
    )


def states(service: Service, skill: str = "triage") -> set[str]:
    """Return the states of a skill that the page says are 1."""
    series = service.page().series("skill_state")
    return {
        labels.partition('skill_state="')[2].partition('"')[0]
        for labels, value in series.items()
        if f'"{skill}"' in labels and value == 1
    }


def ask(port: int, path: str = "/") -> int:
    """Ask a worker, and return which."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        return int(reply.read())


def members(service: Service) -> int:
    """Return how many processes share the page."""
    return sum(file.suffix == ".alive" for file in service.state())


def replace(gunicorn: Service, worker: int) -> None:
    """End a worker, and wait until another is in its place."""
    os.kill(worker, signal.SIGTERM)
    until(lambda: worker not in children(gunicorn.pid))
    until(lambda: members(gunicorn) >= WORKERS)


def test_workers_count_each_decision_once_whoever_dies(
    service: Callable[..., Service], folder: Path, tmp_path: Path, archived: "Archived"
) -> None:
    """The state is there at start and follows; so do both counters, over a worker's death; what a
    worker decides itself is counted once too; and events and counters of the archive agree."""
    (tmp_path / "shop.py").write_text(APP)
    port = free_port()
    bind = ["--bind", f"127.0.0.1:{port}", "--workers", f"{WORKERS}", "--timeout", "120"]
    gunicorn = service(
        command=[sys.executable, "-m", "gunicorn", *bind, "shop:app"],
        env={
            "OTEL_PYTHON_METRICS_SKILLS_DIR": "skills",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "OTEL_PYTHON_METRICS_EXIT_TIMEOUT": "20s",
        },
    )
    until(lambda: members(gunicorn) >= WORKERS)
    until(lambda: states(gunicorn) == {"prototype"})
    assert gunicorn.page().total("skill_promotions_total") == 0

    decide(tmp_path, "promote", gunicorn)
    until(lambda: states(gunicorn) == {"staged"})
    until(lambda: gunicorn.page().total("skill_promotions_total") == 1)
    ask(port, "/promote")
    until(lambda: gunicorn.page().total("skill_promotions_total") == 2)
    until(lambda: states(gunicorn, "mail") == {"staged"})
    for worker in children(gunicorn.pid):
        replace(gunicorn, worker)
    until(lambda: states(gunicorn) == {"staged"})
    decide(tmp_path, "demote", gunicorn, "--reason", "too slow")
    until(lambda: states(gunicorn) == {"prototype"})
    until(lambda: gunicorn.page().total("skill_rollbacks_total") == 1)
    assert gunicorn.page().total("skill_promotions_total") == 2

    gunicorn.process.terminate()
    gunicorn.end()
    assert archived.total("skill.promotions") == len(archived.events("skill.promotion")) == 2
    assert archived.total("skill.rollbacks") == len(archived.events("skill.rollback")) == 1
    log = (folder / "triage_promotion_log.json").read_text().splitlines()
    assert [json.loads(line)["to_state"] for line in log] == ["staged", "prototype"]


def test_another_process_of_a_fork_goes_on(
    service: Callable[..., Service], folder: Path, tmp_path: Path
) -> None:
    """The parent follows until it is killed; then a child does."""
    program = service(FORKS, env={"OTEL_PYTHON_METRICS_SKILLS_DIR": "skills"})
    until(lambda: members(program) == 3)
    until(lambda: states(program) == {"prototype"})
    decide(tmp_path, "promote", program)
    until(lambda: program.page().total("skill_promotions_total") == 1)
    os.kill(program.pid, signal.SIGKILL)
    decide(tmp_path, "demote", program, "--reason", "too slow")

    until(lambda: program.page().total("skill_rollbacks_total") == 1)
    until(lambda: states(program) == {"prototype"})
    assert program.page().total("skill_promotions_total") == 1


def test_services_that_share_a_folder_count_each_decision_once_each(
    service: Callable[..., Service], folder: Path, tmp_path: Path
) -> None:
    """Each of them, also one that was not running when it was made."""
    env = {"OTEL_PYTHON_METRICS_SKILLS_DIR": "skills"}
    both = [service(FORKS, env=env) for _ in range(2)]
    until(lambda: all(states(each) == {"prototype"} for each in both))
    both[1].go(3)
    both[1].end()
    decide(tmp_path, "promote", both[0])
    until(lambda: both[0].page().total("skill_promotions_total") == 1)

    again = service(FORKS, name=both[1].name, env=env)
    until(lambda: again.page().total("skill_promotions_total") == 1)
    until(lambda: states(again) == {"staged"})

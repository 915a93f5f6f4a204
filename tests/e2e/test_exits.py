"""Every way in which a process ends: what was recorded is exported, or it was a kill."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import Program

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived, Run

pytestmark = pytest.mark.slow

RECORD = """
import multiprocessing, os, sys, threading, time
import otel_metrics
from otel_metrics import instruments, skills
def record():
    instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Start a program in the test's folder."""
    programs: list[Program] = []

    def start_(code: str) -> Program:
        programs.append(Program(tmp_path, code))
        return programs[-1]

    yield start_
    for program in programs:
        program.kill()


def test_an_interrupt_loses_nothing(start: Callable[[str], Program], archived: "Archived") -> None:
    """Ctrl-C ends a program by an exception, whose exit flushes."""
    # While any thread loads code by `exec`, as for prices, CPython forgets that it was interrupted.
    configure = "assert otel_metrics.configure().flush(5).ok; record()\n"
    loaded = "[t.join() for t in threading.enumerate() if t.name == 'otel-metrics-prices']\n"
    program = start(RECORD + configure + loaded + "print('ready'); time.sleep(60)")
    program.await_ready()
    program.send(signal.SIGINT)
    status, errors = program.end()

    assert (status, errors.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
    assert archived.total("skill.executions") == 1


@pytest.mark.parametrize(
    ("ending", "status"), [("", 0), ("sys.exit(4)", 4), ("raise SystemExit(5)", 5)]
)
def test_a_program_that_ends_at_once_loses_nothing(
    run: "Run", archived: "Archived", ending: str, status: int
) -> None:
    """One record and the end: it is in the archive, and nothing is said."""
    code = "otel_metrics.configure(); record()\n"
    done = run(RECORD + code + ending, status=status, env={"OTEL_METRICS_EXPORTER": "ndjson"})

    assert done.stderr == ""
    assert archived.total("skill.executions") == 1


def test_threads_that_record_until_the_end_do_not_disturb_it(
    run: "Run", archived: "Archived"
) -> None:
    """Daemon threads at work while the interpreter ends cost no traceback and no record."""
    code = """
otel_metrics.configure()
def load():
    while True: record()
for _ in range(3): threading.Thread(target=load, daemon=True).start()
for _ in range(100): instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "y"})
"""
    done = run(RECORD + code, env={"OTEL_METRICS_EXPORTER": "ndjson"})

    assert done.stderr == ""
    assert archived.totals("skill.executions")['{"gen_ai.skill.name": "y"}'] == 100


def test_os_exit_is_a_kill(run: "Run", archived: "Archived") -> None:
    """The archive then holds what was exported, and the events, before it, and nothing more."""
    code = """
telemetry = otel_metrics.configure()
record(); assert telemetry.flush(5).ok
skills.record_outcome("x", execution_id="1", decision="a", expected_decision="a")
record(); os._exit(0)
"""
    run(RECORD + code, env={"OTEL_METRICS_EXPORTER": "ndjson"})

    assert archived.total("skill.executions") == 1
    assert len(archived.events("skill.outcome")) == 1


@pytest.mark.parametrize("where", ["module", "target"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_lose_nothing(
    run: "Run", archived: "Archived", method: str, where: str
) -> None:
    """A child that ends without `atexit`, as before Python 3.13, exports all the same: whether
    telemetry was configured as the module was loaded, or only in what the child runs."""
    module = "otel_metrics.configure()\n" if where == "module" else ""
    target = "    otel_metrics.configure()\n" if where == "target" else ""
    code = f"""
{module}
def work():
{target}    record()
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=work) for _ in range(3)]
    [child.start() for child in children]
    [child.join() for child in children]
    assert [child.exitcode for child in children] == [0] * 3
"""
    env = {"OTEL_METRICS_EXPORTER": "ndjson", "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    done = run(RECORD + code, env=env)

    assert done.stderr == ""
    assert archived.total("skill.executions") == 3

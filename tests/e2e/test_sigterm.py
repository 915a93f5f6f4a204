"""SIGTERM: what was recorded is exported within the budget, and the process ends by the signal."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from operator import le
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Archived
from tests.e2e.processes import Program, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Collector

pytestmark = pytest.mark.slow

ROUNDS = 60
BUDGET_S = 2.0
SLACK_S = 1.0
TERM = signal.SIGTERM
Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start programs in the test's folder, and end those that a failed test leaves."""
    programs: list[Program] = []

    def start_(code: str = "", **options: object) -> Program:
        programs.append(Program(tmp_path, code, **options))  # type: ignore[arg-type]  # handed on
        return programs[-1]

    yield start_
    for program in programs:
        program.kill()


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


LOADED = """
import itertools, json, mmap, os, signal, struct, sys, threading, time
import otel_metrics
from otel_metrics import instruments
from otel_metrics.autoconfig import assembly  # loaded before the forks, so that rounds are cheap
from otel_metrics.pipeline import otlp_encoding, otlp_grpc
from otel_metrics.tokens import pricing; pricing.warm()
ROUNDS, ENDPOINT, THREADS = int(sys.argv[1]), sys.argv[2], 3

def load(round, at, done):
    handle, series = instruments.metric("skill.executions"), {"gen_ai.skill.name": f"{round}-{at}"}
    for number in itertools.count(1):
        handle.add(1, series)
        struct.pack_into("<q", done, 8 * at, number)

def serve(round, done):
    otel_metrics.configure(metrics_exporter="ndjson,otlp", otlp_endpoint=ENDPOINT,
                           ndjson_path=f"telemetry/{round}")
    for at in range(1, 1 + THREADS):
        threading.Thread(target=load, args=(round, at, done), daemon=True).start()
    load(round, 0, done)

def counts(done):
    return struct.unpack_from(f"<{1 + THREADS}q", done)

for round in range(ROUNDS):
    done = mmap.mmap(-1, 4096)
    pid = os.fork()
    if pid == 0:
        serve(round, done)
    while min(counts(done)) < 50:
        time.sleep(0.001)
    time.sleep(round % 7 / 1000)
    before, begun = counts(done), time.monotonic()
    os.kill(pid, signal.SIGTERM)
    if round % 2:
        time.sleep(round % 5 / 100)
        os.kill(pid, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = time.monotonic() - begun
    print(json.dumps([status, took, before, counts(done)]), flush=True)
"""


@pytest.mark.timeout(300)
def test_under_load_nothing_is_lost(
    tmp_path: Path, archived: Archived, collector: "Collector"
) -> None:
    """While main thread and others record without pause, once or twice signalled, each time all
    that was recorded before is in the archive and at the collector, and both say the same."""
    script = tmp_path / "program.py"
    script.write_text(LOADED)
    command = [sys.executable, str(script), str(ROUNDS), collector.endpoint]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    kept = [_kept(archived.root / str(number)) for number in range(ROUNDS)]

    assert (done.returncode, done.stderr, len(rounds)) == (0, "", ROUNDS)
    assert {status for status, *_ in rounds} == {-TERM}
    assert max(took for _, took, *_ in rounds) <= BUDGET_S + SLACK_S
    for counts, (_, _, before, after) in zip(kept, rounds, strict=True):
        assert all(map(le, before, counts))
        assert all(map(le, counts, after))
    assert collector.total("skill.executions") == sum(map(sum, kept))


def _kept(root: Path) -> list[float]:
    """Return what an archive says of each thread's counter, in the order of the threads."""
    totals = {
        json.loads(key)["gen_ai.skill.name"]: total
        for key, total in Archived(root).totals("skill.executions").items()
    }
    return [total for _, total in sorted(totals.items())]


ONE = """
import os, signal, sys, threading, time
import otel_metrics
from otel_metrics import instruments
def record():
    instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
"""
IDLE = "print('ready')\nwhile True: time.sleep(60)\n"


def test_a_silent_collector_costs_no_more_than_the_budget(
    start: Start, archived: Archived, silent: str
) -> None:
    """Signalled three times, the process ends by the signal within its budget, archived."""
    env = {"OTEL_METRICS_EXPORTER": "ndjson,otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": silent}
    program = start(ONE + "otel_metrics.configure(); record()\n" + IDLE, env=env)
    program.await_ready()
    begun = time.monotonic()
    program.send(TERM, TERM)
    until(lambda: time.monotonic() - begun > 0.5)
    program.send(TERM)
    status, errors = program.end()

    assert time.monotonic() - begun <= BUDGET_S + SLACK_S
    assert (status, "Traceback" in errors) == (-TERM, False)
    assert archived.total("skill.executions") == 1


HANGING = """
import logging
from opentelemetry import metrics
from opentelemetry.metrics import Observation
class Stuck(logging.Handler):
    def emit(self, record):
        time.sleep(60)
logging.getLogger().addHandler(Stuck())
hung = threading.Event()
def callback(options):
    hung.set()
    time.sleep(60)
otel_metrics.configure(exit_timeout="300ms", metric_export_interval="20ms")
metrics.get_meter("m").create_observable_gauge("slow", [callback])
hung.wait()
"""


def test_code_of_the_service_that_hangs_costs_no_more_than_the_budget(start: Start) -> None:
    """A callback and a log handler that never return do not keep the process from ending."""
    program = start(ONE + HANGING + IDLE)
    program.await_ready()
    begun = time.monotonic()
    program.send(TERM)
    status, _ = program.end()

    assert status == -TERM
    assert time.monotonic() - begun <= 0.3 + SLACK_S


def test_a_main_thread_that_does_not_come_round_is_not_waited_for(
    start: Start, archived: Archived
) -> None:
    """Within one long call of C code no handler runs twice: the status says 143 all the same."""
    busy = "import hashlib\nprint('ready')\nhashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
    handler = "signal.raise_signal(signal.SIGTERM)\n"
    program = start(ONE + "otel_metrics.configure(); record()\n" + handler + busy)
    status, errors = program.end()

    assert (status, errors) == (143, "")
    assert archived.total("skill.executions") == 1


def test_as_process_1_the_status_is_143(start: Start, archived: Archived, tmp_path: Path) -> None:
    """In a container the program is process 1, which no default action ends."""
    script = tmp_path / "main.py"
    script.write_text(ONE + "otel_metrics.configure(); record()\nassert os.getpid() == 1\n" + IDLE)
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("not run: this kernel refuses a process namespace (unshare --pid)")
    program = start(command=[*apart, sys.executable, "-u", str(script)])
    program.await_ready()
    parent = program.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    begun = time.monotonic()
    os.kill(int(children[0]), TERM)
    status, errors = program.end()

    assert time.monotonic() - begun <= BUDGET_S + SLACK_S
    assert (status, errors) == (143, "")
    assert archived.total("skill.executions") == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_service_has_the_say(start: Start, archived: Archived, when: str) -> None:
    """Installed before `configure()` or later, it is called once, and its exit brings the flush."""
    handler = (
        "def end(number, frame):\n    print('called'); record(); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end)\n"
    )
    configure = "otel_metrics.configure(); record()\n"
    parts = [handler, configure] if when == "before" else [configure, handler]
    program = start(ONE + "".join(parts) + IDLE)
    program.await_ready()
    program.send(TERM)
    output, errors = program.finish()

    assert (program.process.returncode, output, errors) == (3, "called\n", "")
    assert archived.total("skill.executions") == 2


def test_a_handler_installed_during_the_flush_is_handed_the_signal(
    start: Start, archived: Archived, silent: str
) -> None:
    """What the service installs before the signal is sent again gets it, and has the say."""
    code = (
        "otel_metrics.configure(); record(); print('ready'); time.sleep(0.5)\n"
        "def end(number, frame):\n    print('called'); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end)\n"
    )
    env = {"OTEL_METRICS_EXPORTER": "ndjson,otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": silent}
    program = start(ONE + code + IDLE.partition("\n")[2], env=env)
    program.await_ready()
    program.send(TERM)
    output, errors = program.finish()

    assert (program.process.returncode, output) == (3, "called\n")
    assert "Traceback" not in errors
    assert archived.total("skill.executions") == 1


def test_an_ignored_signal_stays_ignored(start: Start, archived: Archived) -> None:
    """A service that does not want to be ended by it goes on, and ends when it likes."""
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\notel_metrics.configure(); record()\n"
    program = start(ONE + code + "print('ready'); time.sleep(0.5); record()\n")
    program.await_ready()
    program.send(TERM, TERM)
    status, errors = program.end()

    assert (status, errors) == (0, "")
    assert archived.total("skill.executions") == 2


def test_a_signal_during_a_shutdown_ends_it_whole(
    start: Start, archived: Archived, silent: str
) -> None:
    """`Telemetry.shutdown` under way is not cut short, and the process ends by the signal."""
    code = (
        "telemetry = otel_metrics.configure(); record()\n"
        "print('ready'); telemetry.shutdown(1); time.sleep(60)\n"
    )
    env = {"OTEL_METRICS_EXPORTER": "ndjson,otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": silent}
    program = start(ONE + code, env=env)
    program.await_ready()
    program.send(TERM)
    status, errors = program.end()

    assert (status, "Traceback" in errors) == (-TERM, False)
    assert archived.total("skill.executions") == 1


SHUTDOWN = """
telemetry = otel_metrics.configure()
own = signal.getsignal(signal.SIGTERM)
if sys.argv[1:] == ["later"]:
    signal.signal(signal.SIGTERM, print)
telemetry.shutdown()
now = signal.getsignal(signal.SIGTERM)
print("ready", own is signal.SIG_DFL, now is signal.SIG_DFL, now is print)
sys.stdout.flush(); time.sleep(60)
"""


def test_shutdown_puts_back_what_was_there(start: Start, tmp_path: Path) -> None:
    """After `Telemetry.shutdown()` the signal has its default action again."""
    program = start(ONE + SHUTDOWN)

    assert program.await_ready() == "False True False"
    program.send(TERM)
    assert program.end() == (-TERM, "")


def test_shutdown_leaves_a_later_handler(start: Start, tmp_path: Path) -> None:
    """A handler that the service installed over ours is not taken from it."""
    (tmp_path / "main.py").write_text(ONE + SHUTDOWN)
    program = start(command=[sys.executable, "-u", "main.py", "later"])

    assert program.await_ready() == "False False True"


def test_outside_the_main_thread_one_line_says_so(start: Start, archived: Archived) -> None:
    """Where no handler can be installed the log says what that means, once."""
    code = (
        "def run():\n"
        "    for _ in range(2): otel_metrics.configure().shutdown()\n"
        "    otel_metrics.configure(); record()\n"
        "thread = threading.Thread(target=run); thread.start(); thread.join()\n"
    )
    status, errors = start(ONE + code).end()

    (line,) = errors.splitlines()
    assert line.startswith("SIGTERM ends this process without a flush: ")
    assert (status, archived.total("skill.executions")) == (0, 1)


def test_a_forked_child_exports_its_own(start: Start, archived: Archived) -> None:
    """A child that is signalled exports what it recorded, and its parent lives on."""
    code = """
otel_metrics.configure(); record()
pids = []
for _ in range(4):
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        record(); os.write(tell, b"r")
        while True: time.sleep(60)
    os.read(ready, 1)
    os.kill(pid, signal.SIGTERM); os.kill(pid, signal.SIGTERM)
    pids.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
record()
"""
    program = start(ONE + code, env={"PYTHONWARNINGS": "ignore::DeprecationWarning"})

    assert program.finish() == ("[-15, -15, -15, -15]\n", "")
    assert archived.total("skill.executions") == 6


def test_a_child_signalled_as_it_is_born_ends(start: Start) -> None:
    """A signal that comes while a fork is being completed is not lost."""
    code = """
otel_metrics.configure(metric_export_interval="10ms"); record()
for _ in range(100):
    pid = os.fork()
    if pid == 0:
        while True: time.sleep(60)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -15
"""
    program = start(ONE + code, env={"PYTHONWARNINGS": "ignore::DeprecationWarning"})

    assert program.end() == (0, "")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_that_is_terminated_exports(start: Start, archived: Archived, method: str) -> None:
    """A `Pool` ends its workers by the signal; what each recorded is kept."""
    code = f"""
import multiprocessing
def work(_):
    record(); time.sleep(0.05)
otel_metrics.configure()
if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        pool.map(work, range(10), chunksize=1)
    pool.join()
"""
    program = start(ONE + code, env={"PYTHONWARNINGS": "ignore::DeprecationWarning"})

    assert program.end() == (0, "")
    assert archived.total("skill.executions") == 10


WITHOUT_THREADS = """
import os, resource, signal, sys, threading
import otel_metrics
os.chdir("/")
otel_metrics.configure(metrics_exporter="none", logs_exporter="none")
[thread.join() for thread in threading.enumerate() if thread.name == "otel-metrics-prices"]
os.setgid(65534)
os.setuid(int(sys.argv[1]))
threads = int(open("/proc/self/status").read().split("Threads:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_NPROC, (threads + 1, threads + 1))
if (pid := os.fork()) == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.alarm(5)
    signal.pause()
print(os.waitpid(pid, 0)[1], flush=True)
"""
NOBODY_ELSE = 31_339
"""A user of whom nothing runs, so that the limit counts this program's threads alone."""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_child_that_gets_no_thread_ends_by_the_signal(tmp_path: Path) -> None:
    """A limit of processes leaves it without ours: one line says so, and SIGTERM is not held."""
    command = [sys.executable, "-c", WITHOUT_THREADS, str(NOBODY_ELSE)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ended.stdout.split() == [str(int(TERM))]
    assert "nothing that it records is exported" in ended.stderr

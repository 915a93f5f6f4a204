"""Starting, stopping and starting again: in every way in, and beside what a service brings."""

import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived, Run

pytestmark = pytest.mark.slow

INSTRUMENT = """
import sys
from opentelemetry.instrumentation.auto_instrumentation import run
sys.argv[0] = "opentelemetry-instrument"
run()
"""
NAMED = {"OTEL_PYTHON_DISTRO": "otel_metrics", "OTEL_PYTHON_CONFIGURATOR": "otel_metrics"}
RECORD = """
from otel_metrics import skills
skills.record_performance("triage", execution_id="1", execution_time_ms=5, agent="a")
"""
HEAVY = ["click", "rich", "grpc", "genai_prices", "duckdb", "matplotlib", "bcrypt", "nats"]
HEAVY += ["sqlalchemy", "psycopg", "starlette", "uvicorn", "websockets", "yaml"]


def instrumented(program: str) -> list[str]:
    """Return the command that runs a program under opentelemetry-instrument."""
    return [sys.executable, "-c", INSTRUMENT, sys.executable, "-c", program]


def test_the_import_loads_no_optional_dependency(run: "Run") -> None:
    """`import otel_metrics` stays light."""
    done = run(
        "import otel_metrics, sys, json\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )

    assert json.loads(done.stdout) == []


def test_a_second_configure_says_that_it_changes_nothing(run: "Run", archived: "Archived") -> None:
    """The same telemetry is returned, and keywords that come too late are named in one line."""
    done = run(
        "import otel_metrics as o\n"
        "first = o.configure(metrics_exporter='ndjson')\n"
        "assert o.configure() is first\n"
        "assert o.configure(service_name='late') is first\n"
    )

    (line,) = done.stderr.splitlines()
    assert "service_name='late'" in line


def test_no_timeout_is_too_long(run: "Run") -> None:
    """A flush and a shutdown without end are taken as long ones."""
    done = run(
        "import otel_metrics as o\n"
        "t = o.configure(metrics_exporter='ndjson')\n"
        "print(t.flush(float('inf')).ok)\n"
        "t.shutdown(1e300)\n"
    )

    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_warning_holds_no_control_characters(run: "Run") -> None:
    """What a variable holds cannot move the cursor of whoever reads the log."""
    done = run("import otel_metrics as o; o.configure()", env={"OTEL_METRICS_EXPORTER": "\x1b[2Jx"})

    assert "\x1b" not in done.stderr
    assert r"\x1b[2Jx" in done.stderr


def test_two_threads_that_configure_start_one_telemetry(run: "Run") -> None:
    """Whoever comes second gets what the first one started."""
    done = run(
        "import otel_metrics as o, threading\n"
        "made = []\n"
        "start = lambda: made.append(o.configure())\n"
        "threads = [threading.Thread(target=start) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(len(set(map(id, made))), len(made))\n"
    )

    assert done.stdout == "1 8\n"


def test_stopped_and_started_again_it_counts_once(run: "Run", archived: "Archived") -> None:
    """Three rounds of configure and shutdown leave no reader, thread or handler behind."""
    done = run(
        """
import threading, logging
from opentelemetry import metrics
import otel_metrics
from otel_metrics import instruments
for _ in range(3):
    telemetry = otel_metrics.configure(metrics_exporter="ndjson", logs_exporter="ndjson")
    instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
    assert telemetry.flush(5).ok
    telemetry.shutdown()
    print(telemetry.flush(5)["ndjson"].reason)
print(len(metrics.get_meter_provider()._measurement_consumer._reader_storages))
print([t.name for t in threading.enumerate() if t.name.startswith("otel-metrics")])
print(len([h for h in logging.getLogger().handlers if "otel_metrics" in type(h).__module__]))
"""
    )

    assert done.stdout == "shut down\n" * 3 + "0\n[]\n0\n"
    assert archived.total("skill.executions") == 3


def test_a_catalog_may_change_between_two_starts(
    run: "Run", tmp_path: Path, archived: "Archived"
) -> None:
    """A metric that the second catalog lacks does not stop the second start."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(
            "file_format: definition/2\nmetrics:\n"
            f"  - name: shop.{name}\n    brief: Sales.\n    instrument: counter\n"
            "    unit: '{sale}'\n    stability: development\n"
        )
    run(
        "import otel_metrics as o\n"
        "for name in 'ab':\n"
        "    t = o.configure(metrics_exporter='ndjson', catalog=f'{name}.yaml')\n"
        "    o.instruments.metric(f'shop.{name}').add(2)\n"
        "    t.shutdown()\n"
    )

    assert (archived.total("shop.a"), archived.total("shop.b")) == (2, 2)


def test_a_provider_that_is_handed_in_is_used(run: "Run", archived: "Archived") -> None:
    """`meter_provider=` is recorded into and collected from; the global one is left alone."""
    done = run(
        """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
import otel_metrics
mine = MeterProvider(resource=Resource.create({"service.name": "mine"}), shutdown_on_exit=False)
otel_metrics.configure(meter_provider=mine, metrics_exporter="ndjson")
mine.get_meter("m").create_counter("orders").add(4)
print(type(metrics.get_meter_provider()).__name__)
"""
        + RECORD
    )

    resources = [line["resource"]["attributes"] for line in archived.lines("segment")]
    assert "ProxyMeterProvider" in done.stdout
    assert archived.total("orders") == 4
    assert archived.total("skill.executions") == 1
    assert {resource["service.name"] for resource in resources} == {"mine"}


def test_a_logger_provider_that_is_handed_in_gets_the_events(
    run: "Run", archived: "Archived"
) -> None:
    """`logger_provider=` joins on purpose: its processors see our events, as the archive does."""
    done = run(
        """
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor, InMemoryLogRecordExporter
import otel_metrics
kept = InMemoryLogRecordExporter()
mine = LoggerProvider(shutdown_on_exit=False)
mine.add_log_record_processor(SimpleLogRecordProcessor(kept))
otel_metrics.configure(logger_provider=mine, metrics_exporter="ndjson")
"""
        + RECORD
        + "print([log.log_record.event_name for log in kept.get_finished_logs()])\n"
    )

    assert done.stdout == "['skill.performance']\n"
    assert len(archived.events("skill.performance")) == 1


@pytest.mark.parametrize("way", ["configure", "instrument"])
def test_the_services_logs_are_archived_once(run: "Run", archived: "Archived", way: str) -> None:
    """`OTEL_LOGS_EXPORTER=ndjson` archives a log record once; our own loggers are left out."""
    program = (
        "import logging\n"
        "logging.getLogger('shop').warning('low on %s', 'tea')\n"
        "logging.getLogger('otel_metrics.x').warning('ours')\n"
    )
    env = {"OTEL_LOGS_EXPORTER": "ndjson", "OTEL_METRICS_EXPORTER": "ndjson"}
    if way == "configure":
        run("import otel_metrics; otel_metrics.configure()\n" + program, env=env)
    else:
        run(command=instrumented(program), env={**env, **NAMED})

    bodies = [line["body"] for line in archived.lines("event")]
    assert bodies == ["low on tea"]


@pytest.mark.parametrize("signal", ["TRACES", "LOGS"])
def test_a_typo_in_another_signal_costs_that_exporter_only(
    run: "Run", archived: "Archived", signal: str
) -> None:
    """Under opentelemetry-instrument a misspelt exporter is named, and metrics run."""
    env = {**NAMED, f"OTEL_{signal}_EXPORTER": "consol", "OTEL_METRICS_EXPORTER": "ndjson"}
    done = run(command=instrumented(RECORD), env=env)

    assert f"OTEL_{signal}_EXPORTER" in done.stderr
    assert "did you mean 'console'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert archived.total("skill.executions") == 1


def test_the_entry_points_name_means_the_page(run: "Run") -> None:
    """`prometheus_multiprocess` is what upstream's configurator calls our page."""
    done = run(
        "import otel_metrics; t = otel_metrics.configure(); print(t.metrics_port is not None)",
        env={"OTEL_METRICS_EXPORTER": "prometheus_multiprocess"},
    )

    assert done.stdout == "True\n"


def test_threads_that_fork_at_once_leave_the_parent_at_work(
    run: "Run", archived: "Archived"
) -> None:
    """While an exporter is slow, several threads fork; the parent still collects afterwards."""
    silent = socket.create_server(("127.0.0.1", 0))  # accepts, and never answers
    run(
        f"PORT = {silent.getsockname()[1]}"
        """
import os, threading, time
import otel_metrics
from otel_metrics import instruments
telemetry = otel_metrics.configure(
    metrics_exporter="ndjson,otlp", otlp_endpoint=f"http://127.0.0.1:{PORT}",
    metric_export_interval="50ms",
)
handle = instruments.metric("skill.executions")
handle.add(1, {"gen_ai.skill.name": "x"})

def fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

threads = [threading.Thread(target=fork) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
handle.add(1, {"gen_ai.skill.name": "x"})
assert telemetry.flush(3).ndjson.ok
""",
        env={"PYTHONWARNINGS": "ignore::DeprecationWarning", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"},
    )
    silent.close()

    assert archived.total("skill.executions") == 2


def test_a_callback_that_hangs_shows_on_the_page_and_in_the_log(run: "Run") -> None:
    """The page is answered with the last values, an age that rises, and one log line."""
    done = run(
        """
import re, threading, urllib.request
from opentelemetry import metrics
from opentelemetry.metrics import Observation
import otel_metrics
telemetry = otel_metrics.configure(metrics_exporter="prometheus", exit_timeout="100")
gate = threading.Event(); gate.set()
def callback(options):
    gate.wait(20)
    return [Observation(1)]
metrics.get_meter("m").create_observable_gauge("slow", [callback])

def age():
    url = f"http://127.0.0.1:{telemetry.metrics_port}/metrics"
    page = urllib.request.urlopen(url, timeout=10).read().decode()
    assert "slow 1" in page or not gate.is_set()
    return float(re.search(r"^pipeline_progress_age_seconds ([0-9.e+-]+)$", page, re.M)[1])

first = age()
gate.clear()
second, third = age(), age()
print(first < second < third)
"""
    )

    assert done.stdout == "True\n"
    hangs, ends = done.stderr.splitlines()
    assert "a callback of the service hangs" in hangs
    assert "the last collection did not end within" in ends

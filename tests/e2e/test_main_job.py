"""The main job, end to end: a real program is attached, and disk, page and wire agree."""

import json
import sys
import time
from importlib.metadata import distribution
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived, Collector, Run

pytestmark = pytest.mark.slow

RECORD = """
from otel_metrics import skills, sovereignty, tokens
for number in range(10):
    with skills.execution("triage", agent="support") as run:
        run.outcome("a", expected="a" if number < 7 else "b", confidence=0.9, reasoning="why")
        tokens.record(provider="openai", model="gpt-4o-mini", input=100, output=20)
sovereignty.record("decision_rule_hit", {"rule": "r"}, session_id="s1")
"""


def test_disk_page_and_wire_say_the_same(
    run: "Run", archived: "Archived", collector: "Collector"
) -> None:
    """What was recorded once is in the archive, on the page and at the collector, exactly."""
    done = run(
        """
import otel_metrics, urllib.request, sys
telemetry = otel_metrics.configure(service_name="shop")
"""
        + RECORD
        + """
assert telemetry.flush(timeout=10).ok
port = telemetry.metrics_port
sys.stdout.write(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
""",
        env={
            "OTEL_METRICS_EXPORTER": "ndjson,prometheus,otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        },
    )
    page = {
        (sample.name, sample.labels.get("skill_outcome")): sample.value
        for family in text_string_to_metric_families(done.stdout)
        for sample in family.samples
    }

    assert archived.total("skill.executions") == 10
    assert page["skill_executions_total", None] == 10
    assert collector.total("skill.executions") == 10
    assert page["skill_outcomes_total", "correct"] == 7
    assert page["skill_outcomes_total", "incorrect"] == 3
    assert archived.total("skill.outcomes") == collector.total("skill.outcomes") == 10
    assert archived.total("gen_ai.client.inference.usage.input_tokens") == 1000
    assert len(archived.events("skill.outcome")) == 10
    assert collector.event_names().count("skill.outcome") == 10
    assert collector.event_names().count("sovereignty.decision_rule_hit") == 1


def test_particulars_are_in_events_and_never_in_labels(run: "Run", archived: "Archived") -> None:
    """Reasoning and ids are kept beside the numbers, not in them."""
    run("import otel_metrics; otel_metrics.configure()\n" + RECORD)

    keys = {key for line in archived.lines("metric") for key in line["attributes"]}
    assert any("why" in json.dumps(event) for event in archived.events("skill.outcome"))
    assert not keys & {"skill.reasoning", "session.id", "skill.execution.id"}


def test_with_nothing_set_nothing_is_logged(run: "Run", archived: "Archived") -> None:
    """The defaults run silently: archive and page, and no attempt at OTLP."""
    done = run("import otel_metrics; otel_metrics.configure()\n" + RECORD)

    assert done.stderr == ""
    assert archived.total("skill.executions") == 10


def test_a_script_that_ends_at_once_loses_nothing(run: "Run", archived: "Archived") -> None:
    """What was recorded just before the end is in the archive: exit flushes."""
    run("import otel_metrics; otel_metrics.configure()\n" + RECORD + "raise SystemExit(0)")

    assert archived.total("skill.executions") == 10


def test_an_unhandled_exception_loses_nothing(run: "Run", archived: "Archived") -> None:
    """A crash in Python flushes too."""
    code = "import otel_metrics; otel_metrics.configure()\n" + RECORD + "raise RuntimeError"
    run(code, status=1)

    assert archived.total("skill.executions") == 10


def test_events_survive_a_kill(run: "Run", archived: "Archived") -> None:
    """An event is on disk when the call returns, whatever happens next."""
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    run("import otel_metrics; otel_metrics.configure()\n" + RECORD + kill, status=-9)

    assert len(archived.events("skill.outcome")) == 10


def test_a_dead_collector_costs_the_exit_its_budget(run: "Run") -> None:
    """With nobody at the endpoint the process ends within its budget, and says so once."""
    code = "import otel_metrics; otel_metrics.configure()\n" + RECORD
    silent = {"OTEL_METRICS_EXPORTER": "ndjson"}
    dead = {
        "OTEL_METRICS_EXPORTER": "ndjson,otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    }
    begun = time.monotonic()
    run(code, env=silent)
    base_s = time.monotonic() - begun
    begun = time.monotonic()
    done = run(code, env=dead)
    dead_s = time.monotonic() - begun

    assert dead_s - base_s < 3.5
    assert done.stderr.count("\n") <= 1


def test_a_flush_on_a_dead_collector_says_failed(run: "Run") -> None:
    """The verdict names the exporter that did not deliver, and why; the archive's is delivered."""
    done = run(
        """
import otel_metrics
telemetry = otel_metrics.configure()
"""
        + RECORD
        + """
result = telemetry.flush(timeout=3)
print(result.ndjson.status, result.otlp.ok, result.otlp.reason)
""",
        env={
            "OTEL_METRICS_EXPORTER": "ndjson,otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        },
    )

    assert done.stdout.startswith("delivered False ")
    assert "127.0.0.1:1" in done.stdout


INSTRUMENT = """
import sys
from opentelemetry.instrumentation.auto_instrumentation import run
sys.argv[0] = "opentelemetry-instrument"
run()
"""
WAYS = {
    "configure": [sys.executable, "-c", "import otel_metrics; otel_metrics.configure()\n" + RECORD],
    "run": [
        sys.executable,
        "-m",
        "otel_metrics",
        "run",
        "--",
        sys.executable,
        "-c",
        RECORD,
    ],
    "opentelemetry-instrument": [
        sys.executable,
        "-c",
        INSTRUMENT,
        sys.executable,
        "-c",
        RECORD,
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_the_ways_in_are_equal(run: "Run", archived: "Archived", way: str) -> None:
    """Each way in archives the same numbers and events, under the service's name."""
    named = {"OTEL_PYTHON_DISTRO": "otel_metrics", "OTEL_PYTHON_CONFIGURATOR": "otel_metrics"}
    env = named if way == "opentelemetry-instrument" else {}
    run(command=WAYS[way], env={"OTEL_SERVICE_NAME": "shop", **env})

    assert archived.total("skill.executions") == 10
    assert len(archived.events("skill.outcome")) == 10
    segment = archived.lines("segment")[0]
    assert segment["resource"]["attributes"]["service.name"] == "shop"


def test_installed_and_not_named_it_changes_nothing(run: "Run", archived: "Archived") -> None:
    """Beside opentelemetry-distro the service's console span exporter works as before."""
    assert distribution("opentelemetry-distro")
    program = "from opentelemetry import trace; trace.get_tracer('t').start_span('mine').end()"
    command = [*WAYS["opentelemetry-instrument"][:-1], program]
    env = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"}
    done = run(command=command, env={**env, "OTEL_LOGS_EXPORTER": "none"})

    assert '"name": "mine"' in done.stdout
    assert not archived.root.exists()


def test_named_it_starts_the_traces_that_are_asked_for(run: "Run", archived: "Archived") -> None:
    """Named, the console span exporter works too, beside the archive."""
    program = "from opentelemetry import trace; trace.get_tracer('t').start_span('mine').end()\n"
    command = [*WAYS["opentelemetry-instrument"][:-1], program + RECORD]
    env = {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_PYTHON_DISTRO": "otel_metrics",
        "OTEL_PYTHON_CONFIGURATOR": "otel_metrics",
    }
    done = run(command=command, env=env)

    assert '"name": "mine"' in done.stdout
    assert archived.total("skill.executions") == 10


def test_a_forked_child_counts_for_itself(run: "Run", archived: "Archived") -> None:
    """Parent 100, four children 10 each: 140 in all, each in segments of its own."""
    run(
        """
import os, sys
import otel_metrics
from otel_metrics import instruments
otel_metrics.configure(metrics_exporter="ndjson")
handle = instruments.metric("skill.executions")
handle.add(100, {"gen_ai.skill.name": "x"})
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        handle.add(10, {"gen_ai.skill.name": "x"})
        sys.exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""
    )

    segments = archived.lines("segment")
    instances = {line["resource"]["attributes"]["service.instance.id"] for line in segments}
    assert archived.total("skill.executions") == 140
    assert len(instances) == 5
    assert len({line["writer"]["instance"] for line in segments}) == 5


def test_a_child_that_records_nothing_writes_nothing(run: "Run", archived: "Archived") -> None:
    """Forked children that only live and end leave no segment; one that records leaves its own."""
    run(
        """
import os, sys
import otel_metrics
from otel_metrics import instruments
otel_metrics.configure(metrics_exporter="ndjson", metric_export_interval="20ms")
handle = instruments.metric("skill.executions")
handle.add(1, {"gen_ai.skill.name": "x"})
for number in range(4):
    pid = os.fork()
    if pid == 0:
        if number == 3:
            handle.add(1, {"gen_ai.skill.name": "x"})
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""
    )

    writers = {line["writer"]["instance"] for line in archived.lines("segment")}
    assert archived.total("skill.executions") == 2
    assert len(writers) == 2

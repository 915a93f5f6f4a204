"""The wall clock jumps, and the time zone changes: intervals, order and names do not follow it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_exporter_ndjson import read
from tests.e2e.processes import Program, until

pytestmark = pytest.mark.slow

INTERVAL_S = 0.1
HOUR_S, YEAR_S = 3600, 365 * 86_400
JUMPS_S = (-HOUR_S, 10 * YEAR_S, -int(time.time()) + 86_400, 20 * YEAR_S, 0)
"""Back an hour, on ten years, to January 1970, beyond 2038, and right again."""

INJECTED = """
import time
def shifted(real=time.time_ns):
    return real() + int(open("clock").read() or 0) * 10**9
time.time_ns, time.time = shifted, lambda: shifted() / 1e9
"""
SERVICE = """
import json, os, sys, threading, time
import otel_metrics
from otel_metrics import instruments, skills
telemetry = otel_metrics.configure(metric_export_interval="100ms", ndjson_rotate_interval="1h")
print("ready", flush=True)
number, stop = 0, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
begun, used = time.monotonic(), time.process_time()
while not stop.wait(0.04):
    os.environ["TZ"] = ("Pacific/Kiritimati", "America/St_Johns", "UTC")[number % 3]
    time.tzset()
    instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
    skills.record_outcome("x", execution_id=str(number), decision="a", expected_decision="a")
    number += 1
load = (time.process_time() - used) / (time.monotonic() - begun)
print(json.dumps([number, load, telemetry.flush(5).ok]))
"""


@pytest.fixture(params=["injected", "faketime"])
def program(request: Any, tmp_path: Path, component: Callable[[str], str]) -> Iterator[Program]:
    """A service whose wall clock is off by what the file `clock` says, in seconds."""
    (tmp_path / "clock").write_text("+0")
    env, code = {}, INJECTED + SERVICE
    if request.param == "faketime":
        component("faketime")
        [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        code = SERVICE
    started = Program(tmp_path, code, env=env, talks=True)
    started.await_ready()
    yield started
    started.kill()


def test_a_clock_that_jumps(program: Program, tmp_path: Path) -> None:
    """Through each jump batches come once an interval, the archive is in order by sequence and
    loses nothing, every time is UTC, and no thread runs wild."""
    archive = tmp_path / "telemetry"
    gaps: list[float] = []
    until(lambda: _points(archive))
    for jump in JUMPS_S:
        (tmp_path / "clock").write_text(f"{jump:+d}")
        before, begun = len(_points(archive)), time.monotonic()
        until(lambda count=before: len(_points(archive)) >= count + 8)  # type: ignore[misc]  # bound now
        gaps.append((time.monotonic() - begun) / 8)
    output, errors = program.finish()
    recorded, load, delivered = json.loads(output)
    events = [r.data for r in read(archive, signal="events") if r.data["kind"] == "event"]
    years = {event["time"][:4] for event in events}

    assert errors == ""
    assert delivered
    assert max(gaps) < 4 * INTERVAL_S
    assert load < 0.9  # a thread that runs wild takes 1 for itself
    assert _points(archive)[-1] == recorded
    runs = [event["attributes"]["execution_id"] for event in events]
    assert runs == [str(number) for number in range(recorded)]
    assert all(event["time"].endswith("Z") for event in events)
    assert {"1970"} < years
    assert max(years) > "2038"


def test_a_clock_that_jumps_in_the_middle_of_a_collection(tmp_path: Path) -> None:
    """A callback during which the clock is set on ten years costs no collection."""
    (tmp_path / "clock").write_text("+0")
    code = """
import otel_metrics
from opentelemetry import metrics
telemetry = otel_metrics.configure(metrics_exporter="ndjson")
def on(options):
    open("clock", "w").write("+315360000")
    return [metrics.Observation(1)]
meter = metrics.get_meter("m")
meter.create_observable_gauge("first", [on, on])
meter.create_observable_gauge("second", [lambda options: [metrics.Observation(2)]])
print(telemetry.flush(30).ok)
"""
    program = Program(tmp_path, INJECTED + code, talks=True)
    output, errors = program.finish()

    assert (output, errors) == ("True\n", "")


def _points(archive: Path) -> list[float]:
    if not archive.exists():
        return []
    return [
        record.data["value"]
        for record in read(archive, signal="metrics")
        if record.data.get("metric") == "skill.executions" and record.data["kind"] == "metric"
    ]

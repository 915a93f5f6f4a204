"""What does a million distinct attribute sets cost, here and in the plain SDK?

Each instrument in a fresh process of its own: how much resident memory a million calls with a new
set each add, an export included, and what a call past the budget costs. The plain SDK runs as it
comes, with its own limit of 2,000 sets; a handle is in front of the SDK, and names the attribute.

Reproduce: .venv/bin/python benchmarks/cardinality.py
"""

import argparse
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

CALLS = 1_000_000
WARM_UP = 5_000  # more than the budget
MIB_MAX = 20.0
METRICS = {
    "counter": "skill.executions",
    "histogram": "skill.execution.duration",
    "gauge": "skill.state",
}
WIDE = "gen_ai.skill.name"
NARROW = {"counter": "gen_ai.agent.name", "histogram": "gen_ai.agent.name", "gauge": "skill.state"}

Call = Callable[[float, dict[str, str]], None]


def resident_mib() -> float:
    """Return the memory of this process that is in RAM (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def handle(kind: str, folder: str) -> tuple[Call, Callable[[], object]]:
    """Return a handle's verb under `configure`, and what exports."""
    import otel_metrics
    from otel_metrics import instruments
    from otel_metrics.tokens import pricing

    telemetry = otel_metrics.configure(
        metrics_exporter="ndjson", ndjson_path=folder, host_metrics="off"
    )
    pricing.warm()  # loaded in the background otherwise, and taken for memory of the series
    verbs = {"counter": "add", "histogram": "record", "gauge": "set"}
    made: Any = instruments.metric(METRICS[kind])
    return getattr(made, verbs[kind]), lambda: telemetry.flush(30)


def instrument(kind: str) -> tuple[Call, Callable[[], object]]:
    """Return the same verb of the SDK's own instrument, and what collects."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("benchmark")
    if kind == "counter":
        return meter.create_counter("made").add, reader.get_metrics_data
    if kind == "histogram":
        return meter.create_histogram("made").record, reader.get_metrics_data
    return meter.create_gauge("made").set, reader.get_metrics_data


def measure(kind: str, side: str) -> dict[str, float]:
    """Return the memory that `CALLS` sets add, and the time of a call past the budget."""
    logging.getLogger("otel_metrics").addHandler(logging.NullHandler())  # a line for each overflow
    with tempfile.TemporaryDirectory() as folder:
        call, export = handle(kind, folder) if side == "ours" else instrument(kind)
        narrow = NARROW[kind]
        call(1, {WIDE: "first", narrow: "same"})
        export()
        export()  # the first one loads what an export needs
        gc.collect()
        before = resident_mib()
        for number in range(WARM_UP):
            call(1, {WIDE: f"user-{number}", narrow: "same"})
        begun = time.perf_counter()
        for number in range(WARM_UP, CALLS):
            call(1, {WIDE: f"user-{number}", narrow: "same"})
        per_call_us = (time.perf_counter() - begun) / (CALLS - WARM_UP) * 1e6
        export()
        return {"mib": resident_mib() - before, "us": per_call_us}


def in_own_process(kind: str, side: str) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--kind", kind, "--side", side]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Measure each kind on both sides, print them beside one another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=METRICS)
    parser.add_argument("--side", choices=["ours", "plain"])
    asked = parser.parse_args()
    if asked.kind:
        print(json.dumps(measure(asked.kind, asked.side)))
        return
    print(f"{CALLS:,} attribute sets   plain SDK            otel-metrics         bar")
    missed = False
    for kind in METRICS:
        plain, ours = in_own_process(kind, "plain"), in_own_process(kind, "ours")
        missed = missed or ours["mib"] > MIB_MAX
        print(
            f"{kind:24}   {plain['mib']:5.1f} MiB {plain['us']:5.2f} us"
            f"   {ours['mib']:5.1f} MiB {ours['us']:5.2f} us   at most {MIB_MAX:.0f} MiB"
        )
    sys.exit("a bar is missed" if missed else 0)


if __name__ == "__main__":
    main()

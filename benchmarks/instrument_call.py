"""What does a recording call cost, with one exporter and with three, here and upstream?

Three figures from one process each, best of several rounds:
- a handle's `add` with three attributes under `configure()` with one exporter and with three;
- the SDK's own `add` with one reader and with three (what upstream does for three exporters);
- what the handle adds to the SDK's own `add`.

Reproduce: .venv/bin/python benchmarks/instrument_call.py
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

CALLS = 20_000
ROUNDS = 15
REPEATS = 3
ATTRIBUTES = {"gen_ai.skill.name": "triage", "gen_ai.agent.name": "a", "error.type": "E"}


Call = Callable[[int, dict[str, str]], None]


def one_round_us(call: Call) -> float:
    """Return the cost of one call in microseconds, over one round."""
    begun = time.perf_counter()
    for _ in range(CALLS):
        call(1, ATTRIBUTES)
    return (time.perf_counter() - begun) / CALLS * 1e6


def per_call_us(call: Call) -> float:
    """Return the cost of one call in microseconds: the best round."""
    return min(one_round_us(call) for _ in range(ROUNDS))


def difference_us(call: Call, other: Call) -> float:
    """Return how much more one call costs than another: rounds in turn, the median difference."""
    return statistics.median(one_round_us(call) - one_round_us(other) for _ in range(3 * ROUNDS))


def measure_ours(exporters: str) -> dict[str, float]:
    """Return a handle's cost, and the SDK's in the same provider."""
    import otel_metrics
    from otel_metrics import instruments

    with tempfile.TemporaryDirectory() as folder:
        telemetry = otel_metrics.configure(
            metrics_exporter=exporters,
            ndjson_path=folder,
            prometheus_port=0,
            otlp_endpoint="http://127.0.0.1:1",
            host_metrics="off",
        )
        raw = metrics.get_meter("bench").create_counter("raw")
        handle = instruments.metric("skill.executions")
        figures = {
            "handle": per_call_us(handle.add),
            "added": difference_us(handle.add, raw.add),
        }
        telemetry.shutdown(0.1)
    return figures


def measure_upstream(readers: int) -> dict[str, float]:
    """Return the SDK's cost with a number of readers."""
    provider = MeterProvider([InMemoryMetricReader() for _ in range(readers)])
    return {"sdk": per_call_us(provider.get_meter("bench").create_counter("raw").add)}


def in_own_process(kind: str, argument: str) -> dict[str, float]:
    """Return the best of several fresh processes."""
    command = [sys.executable, __file__, kind, argument]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(REPEATS)
    ]
    return {key: min(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    """Measure in fresh processes, print the ratios."""
    if len(sys.argv) > 1:
        kind, argument = sys.argv[1:]
        figures = measure_ours(argument) if kind == "ours" else measure_upstream(int(argument))
        print(json.dumps(figures))
        return
    one = in_own_process("ours", "ndjson")
    three = in_own_process("ours", "ndjson,prometheus,otlp")
    upstream_one = in_own_process("upstream", "1")
    upstream_three = in_own_process("upstream", "3")
    ratio = three["handle"] / one["handle"]
    upstream = upstream_three["sdk"] / upstream_one["sdk"]
    print(f"ours, one exporter            {one['handle']:6.2f} us a call")
    print(f"ours, three exporters         {three['handle']:6.2f} us a call")
    print(f"  ratio three / one           {ratio:6.2f}      bar: at most 1.15")
    print(f"upstream, one reader          {upstream_one['sdk']:6.2f} us a call")
    print(f"upstream, three readers       {upstream_three['sdk']:6.2f} us a call")
    print(f"  ratio three / one           {upstream:6.2f}")
    print(f"the handle adds to the SDK    {one['added']:6.2f} us        bar: at most 0.5")
    sys.exit(0 if ratio <= 1.15 and one["added"] <= 0.5 else "a bar is missed")


if __name__ == "__main__":
    main()

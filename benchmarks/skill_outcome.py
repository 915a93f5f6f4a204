"""What does `skills.record_outcome` cost beside the same done by hand with upstream?

Ours: archive, OTLP and Prometheus are on, and the event is in the archive when the call returns.
By hand: a JSON line by open, append and close; a counter and two histograms of the SDK, on three
readers (OTLP, Prometheus, OTLP JSON lines in a file). Both export once a second, to a real endpoint
on this machine. Each runs in processes of its own, in turn; a figure is the best round of all,
which is what each costs on a machine that does nothing else.

Reproduce: .venv/bin/python benchmarks/skill_outcome.py
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CALLS = 500
ROUNDS = 60
PAIRS = 5
INTERVAL_MS = 1_000
RATIO_MAX = 0.65
REASONING = "Total and supplier match the purchase order, so it is approved without a person."


class Endpoint(BaseHTTPRequestHandler):
    """An OTLP endpoint over HTTP that takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read a request and answer that all of it was taken."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def per_call_us(call: Callable[[int], object]) -> float:
    """Return the cost of one call in microseconds: the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for number in range(CALLS):
            call(number)
        rounds.append((time.perf_counter() - began) / CALLS * 1e6)
    return min(rounds)


def measure_ours(endpoint: str, folder: str) -> float:
    """Return what `record_outcome` costs."""
    import otel_metrics
    from otel_exporter_ndjson import read
    from otel_metrics import skills

    telemetry = otel_metrics.configure(
        metrics_exporter="ndjson,prometheus,otlp",
        metric_export_interval=INTERVAL_MS,
        ndjson_path=folder,
        prometheus_port=0,
        otlp_endpoint=endpoint,
        otlp_protocol="http/protobuf",
        host_metrics="off",
    )

    def call(number: int) -> None:
        skills.record_outcome(
            "invoice-triage",
            decision="approve",
            expected_decision="approve",
            execution_id=f"exec-{number}",
            confidence=0.92,
            reasoning=REASONING,
            agent="accounts-payable",
        )

    assert telemetry.flush(30).ok  # which returns when all that starts behind a service has started
    cost = per_call_us(call)
    assert telemetry.flush(30).ok
    assert sum(1 for _ in read(folder, signal="events")) == CALLS * ROUNDS
    telemetry.shutdown()
    return cost


def measure_by_hand(endpoint: str, folder: str) -> float:
    """Return what the same costs with upstream and a file."""
    from opentelemetry.exporter.otlp.json.file.metric_exporter import FileMetricExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    provider = MeterProvider(
        [
            PeriodicExportingMetricReader(
                OTLPMetricExporter(f"{endpoint}/v1/metrics"), export_interval_millis=INTERVAL_MS
            ),
            PeriodicExportingMetricReader(
                FileMetricExporter(os.path.join(folder, "metrics.jsonl")),
                export_interval_millis=INTERVAL_MS,
            ),
            PrometheusMetricReader(),
        ]
    )
    meter = provider.get_meter("by-hand")
    outcomes = meter.create_counter("skill.outcomes")
    confidences = meter.create_histogram("skill.outcome.confidence")
    durations = meter.create_histogram("skill.execution.duration")
    path = os.path.join(folder, "invoice-triage_outcomes.json")

    def call(number: int) -> None:
        now = time.time()
        judged = {
            "gen_ai.skill.name": "invoice-triage",
            "gen_ai.agent.name": "accounts-payable",
            "skill.outcome": "correct",
        }
        outcomes.add(1, judged)
        confidences.record(0.92, judged)
        durations.record(0.2, judged)
        record = {
            "execution_id": f"exec-{number}",
            "timestamp": now,
            "timestamp_iso": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "skill_name": "invoice-triage",
            "agent": "accounts-payable",
            "decision": "approve",
            "expected_decision": "approve",
            "correct": True,
            "confidence": 0.92,
            "reasoning": REASONING,
            "metric_type": "outcome",
        }
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    cost = per_call_us(call)
    provider.shutdown()
    return cost


def in_own_process(kind: str, endpoint: str) -> float:
    """Return what a fresh process measures, in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        command = [sys.executable, __file__, kind, endpoint, os.path.abspath(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Measure in turn, print the ratio, and fail when the bar is missed."""
    if len(sys.argv) > 1:
        kind, endpoint, folder = sys.argv[1:]
        print((measure_ours if kind == "ours" else measure_by_hand)(endpoint, folder))
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    pairs = [
        (in_own_process("ours", endpoint), in_own_process("by hand", endpoint))
        for _ in range(PAIRS)
    ]
    ours, by_hand = (min(column) for column in zip(*pairs, strict=True))
    ratio = ours / by_hand
    print(f"skills.record_outcome        {ours:6.1f} us a call")
    print(f"by hand, with upstream       {by_hand:6.1f} us a call")
    print(f"  ratio                      {ratio:6.2f}      bar: at most {RATIO_MAX}")
    sys.exit(0 if ratio <= RATIO_MAX else "the bar is missed")


if __name__ == "__main__":
    main()

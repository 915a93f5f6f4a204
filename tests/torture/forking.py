"""`python forking.py ENDPOINT FORKS FOLDER`: a busy service that forks.

While threads record histograms, a reader of the service's own collects each millisecond, and a
gRPC lane is at work, it forks one child after the other. Each counts 1, looks at what the service's
reader makes of that, and has ours deliver it. Prints what came of it as JSON.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

import otel_metrics

__all__ = ["COUNTED_BEFORE", "COUNTER"]

THREADS: Final = 3
COUNTED_BEFORE: Final = 1_000
"""What the parent counts; a child that inherited it would show it again."""
HANG_S: Final = 30.0
"""A child that takes longer hangs."""
EXITS_EVERY: Final = 25
"""Of so many children one ends as a program does."""
COUNTER: Final = "forks.counted"


@dataclass
class Outcome:
    """What came of all forks. `wrong` says what children found that must not be."""

    forks: int = 0
    hung: int = 0
    longest_fork_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


class _Own(MetricExporter):
    """What the service exports to by itself: keeps the counter's newest value."""

    counted: float | None = None

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        for value in _values(metrics_data):
            self.counted = value
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


def _values(data: MetricsData) -> Iterator[float]:
    for resource_metrics in data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                if metric.name == COUNTER:
                    for point in metric.data.data_points:
                        yield point.value  # type: ignore[union-attr]  # it is a counter's


def main(endpoint: str, forks: int, folder: str) -> None:
    """Fork, and print the outcome."""
    own = _Own()
    reader = PeriodicExportingMetricReader(own, export_interval_millis=1)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    telemetry = otel_metrics.configure(
        service_name="forks",
        metrics_exporter=["ndjson", "otlp"],
        otlp_endpoint=endpoint,
        otlp_protocol="grpc",
        ndjson_path=folder,
        metric_export_interval="20ms",
        host_metrics="off",
    )
    meter = metrics.get_meter("forks")
    counter = meter.create_counter(COUNTER)
    counter.add(COUNTED_BEFORE)
    ending = threading.Event()
    histogram = meter.create_histogram("forks.recorded")
    for number in range(THREADS):
        threading.Thread(target=_record, args=(histogram, number, ending), daemon=True).start()

    def child() -> str:
        counter.add(1)
        histogram.record(1)
        reader.force_flush()
        if own.counted != 1:
            return f"the service's own reader has {own.counted}"
        result = telemetry.flush(HANG_S / 2)
        return "" if result.ok else str(result)

    outcome = Outcome()
    for _ in range(forks):
        own.counted = None
        _fork(child, outcome)
    ending.set()
    print(json.dumps(asdict(outcome)), flush=True)


def _record(histogram: metrics.Histogram, number: int, ending: threading.Event) -> None:
    recorded = 0
    while not ending.is_set():
        histogram.record(recorded % 100, {"thread": number, "set": recorded % 50})
        recorded += 1
        if recorded % 50 == 0:
            time.sleep(0.0005)


def _fork(work: Callable[[], str], outcome: Outcome) -> None:
    """Have a child do some work, which returns what is wrong. Most end at once; to end as a
    program does takes Python longer than all else."""
    pipe = os.pipe()
    began_s = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.write(pipe[1], work().encode())
            if outcome.forks % EXITS_EVERY == 0:
                sys.exit()
        finally:
            if outcome.forks % EXITS_EVERY:
                os._exit(0)
    outcome.forks += 1
    outcome.longest_fork_s = max(outcome.longest_fork_s, time.monotonic() - began_s)
    os.close(pipe[1])
    hangs = _ended_late(child)
    wrong = os.read(pipe[0], 10_000).decode()
    os.close(pipe[0])
    outcome.hung += hangs
    if wrong:
        outcome.wrong.append(wrong)


def _ended_late(child: int) -> bool:
    deadline = time.monotonic() + HANG_S
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True
        time.sleep(0.0005)
    return False


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])

"""How long a scrape takes: ours beside upstream's exporter and prometheus_client's own registry.

Each of the three holds the same series: a third counters, a third gauges, a third histograms with
the SDK's default buckets, three attributes each, and every value changes between two scrapes. Ours
is what a service's own port answers from: collected, published for the service's other processes,
and written. All run in turns in one process, so that a busy machine slows all alike; of each the
median counts. What a service feels is the time with the GIL held, which is all of a scrape's CPU
time but that of system calls.

Reproduce: .venv/bin/python benchmarks/prometheus_scrape.py
"""

import argparse
import atexit
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from opentelemetry.exporter.prometheus import PrometheusMetricReader as UpstreamReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from otel_exporter_prometheus.encoding import Encoder
from otel_exporter_prometheus.service import Service
from otel_exporter_prometheus.service_page import ServicePage
from otel_exporter_prometheus.settings import Settings

SERIES_PER_METRIC = 200
BOUNDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
LIMIT = 1_000_000
KEYS = ("model", "outcome", "skill")


@dataclass(frozen=True)
class Subject:
    """Something to scrape: `record` changes every series, `scrape` is what is timed."""

    name: str
    record: Callable[[float], None]
    scrape: Callable[[], bytes]


def labels(number: int) -> dict[str, str]:
    return {"model": f"m{number % 7}", "outcome": f"o{number % 3}", "skill": f"skill-{number}"}


def instruments(provider: MeterProvider, points: int) -> Callable[[float], None]:
    """Make counters, gauges and histograms of `points` series; return what changes them all."""
    meter = provider.get_meter("benchmark")
    attributes = [labels(number) for number in range(SERIES_PER_METRIC)]
    third = range(points // 3 // SERIES_PER_METRIC)
    recorders: list[Callable[..., None]] = []
    for number in third:
        recorders.append(meter.create_counter(f"counter.{number}", "s", "A counter.").add)
        recorders.append(meter.create_gauge(f"gauge.{number}", "By", "A gauge.").set)
        recorders.append(meter.create_histogram(f"histogram.{number}", "s", "Times.").record)

    def record(value: float) -> None:
        for recorder in recorders:
            for given in attributes:
                recorder(value, given)

    return record


def ours(points: int) -> Subject:
    record, collect = collected(points)
    shared = ServicePage(collect, Settings(port=0), Service("benchmark"))
    shared.start()
    atexit.register(shared.stop)

    def scrape() -> bytes:
        page = shared.page.read(openmetrics=False)
        assert page is not None
        return page

    return Subject("ours", record, scrape)


def upstream(points: int) -> Subject:
    registry = CollectorRegistry()
    reader = UpstreamReader(registry=registry, scope_info_enabled=False)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    record = instruments(provider, points)
    return Subject("upstream's exporter", record, lambda: generate_latest(registry))


def own_registry(points: int) -> Subject:
    registry = CollectorRegistry()
    third = range(points // 3 // SERIES_PER_METRIC)
    attributes = [labels(number) for number in range(SERIES_PER_METRIC)]
    recorders: list[Callable[[float], None]] = []
    for number in third:
        counter = Counter(f"counter_{number}_seconds", "A counter.", KEYS, registry=registry)
        gauge = Gauge(f"gauge_{number}_bytes", "A gauge.", KEYS, registry=registry)
        histogram = Histogram(
            f"histogram_{number}_seconds", "Times.", KEYS, registry=registry, buckets=BOUNDS
        )
        for given in attributes:
            recorders.append(counter.labels(**given).inc)
            recorders.append(gauge.labels(**given).set)
            recorders.append(histogram.labels(**given).observe)

    def record(value: float) -> None:
        for recorder in recorders:
            recorder(value)

    return Subject("prometheus_client's registry", record, lambda: generate_latest(registry))


def collected(points: int) -> tuple[Callable[[float], None], Callable[[], MetricsData]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    record = instruments(provider, points)

    def collect() -> MetricsData:
        data = reader.get_metrics_data()
        assert data is not None
        return data

    return record, collect


def seconds(work: Callable[[], object]) -> float:
    """Time one call, with garbage collection on."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    subjects = [make(arguments.points) for make in (ours, upstream, own_registry)]
    record, collect = collected(arguments.points)
    encoder = Encoder()
    times: dict[str, list[float]] = {}
    held: dict[str, list[float]] = {}
    for turn in range(arguments.rounds + 1):  # the first only warms up
        for subject in subjects:
            subject.record(turn * 7.25)
            gc.collect()  # what ran before leaves its garbage to nobody
            before = time.process_time()
            times.setdefault(subject.name, []).append(seconds(subject.scrape))
            held.setdefault(subject.name, []).append(time.process_time() - before)
        record(turn * 7.25)
        gc.collect()
        times.setdefault("collection alone (SDK)", []).append(seconds(collect))
        data = collect()
        for openmetrics, name in ((False, "encoding alone"), (True, "encoding as OpenMetrics")):
            gc.collect()
            encode = partial(encoder.encode, data, openmetrics=openmetrics)
            times.setdefault(name, []).append(seconds(encode))
    met = report({name: statistics.median(spent[1:]) for name, spent in times.items()})
    print()
    for name, spent in held.items():
        print(f"{name:32} {statistics.median(spent[1:]) * 1000:9.2f} ms with the GIL held, about")
    sys.exit(not met)


def report(medians: dict[str, float]) -> bool:
    """Print what was measured and the ratios; say whether every bar is met."""
    for name, spent in medians.items():
        print(f"{name:32} {spent * 1000:9.2f} ms")
    theirs, registry = medians["upstream's exporter"], medians["prometheus_client's registry"]
    ratios = {
        "upstream / ours, whole scrape": (theirs / medians["ours"], 6),
        "upstream / ours, encoding alone": (theirs / medians["encoding alone"], 15),
        "prometheus_client / ours": (registry / medians["ours"], 5),
    }
    print()
    for name, (ratio, bar) in ratios.items():
        print(f"{name:32} {ratio:9.1f} (bar: {bar}{'' if ratio >= bar else ', MISSED'})")
    return all(ratio >= bar for ratio, bar in ratios.values())


if __name__ == "__main__":
    main()

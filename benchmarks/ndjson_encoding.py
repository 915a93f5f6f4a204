"""How fast metrics reach the archive, as ratios in one run on one machine.

    python benchmarks/ndjson_encoding.py [--points 1000] [--rounds 10] [--folder DIR]

The same successive collections of one SDK reader, half sums and half histograms, are written by

* `NdjsonMetricExporter` (encoding, running SHA-256, commit line and one write, mode `interval`),
* upstream's `opentelemetry-exporter-otlp-json-file`, and
* `msgspec` encoding dicts that were made ready beforehand, and one write.

Each round times all three one after the other, each some times in a row, so that a busy machine
slows all alike; the best time of each counts. Before a round, far more than it writes is written
and removed: a virtual machine that must first be given memory for its page cache writes ten times
more slowly, which would hide all else. An event is timed as the recording thread sees it: one
call, one record.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import msgspec
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.json.file import FileMetricExporter
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.files import read_lines

COLLECTIONS = 5
IN_A_ROW = 3
INSTRUMENTS = 10
EVENTS = 5_000
WARM_UP_BYTES = 256 * 2**20
PEER_RATIO_MIN = 20.0
DICTS_RATIO_MIN = 1.0
EVENT_US_MAX = 15.0


def collections(points: int) -> list[MetricsData]:
    """Return successive collections of one reader, with three attributes a series."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("benchmark")
    counters = [meter.create_counter(f"skill.{n}.calls", unit="1") for n in range(5)]
    histograms = [meter.create_histogram(f"skill.{n}.duration", unit="s") for n in range(5)]
    found: list[MetricsData] = []
    for collection in range(COLLECTIONS):
        for series in range(points // INSTRUMENTS):
            attributes = {"skill": f"skill-{series}", "outcome": "correct", "agent": "reader"}
            for counter in counters:
                counter.add(series + 1, attributes)
            for histogram in histograms:
                histogram.record(0.0137 * (series + collection), attributes)
        data = reader.get_metrics_data()
        assert data is not None
        found.append(data)
    return found


def warm_up(folder: str) -> None:
    """Have the page cache given the memory that a round needs."""
    path = os.path.join(folder, "warm-up")
    block = bytes(2**20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(WARM_UP_BYTES // len(block)):
            file.write(block)
    os.remove(path)


def best_ns(
    work: Sequence[Callable[[], None]], folder: str, *, rounds: int, points: int
) -> list[float]:
    """Return the best time of each, in nanoseconds a point."""
    best = [float("inf")] * len(work)
    for _ in range(rounds):
        warm_up(folder)
        for at, function in enumerate(work):
            for _ in range(IN_A_ROW):
                began = time.perf_counter_ns()
                function()
                best[at] = min(best[at], (time.perf_counter_ns() - began) / points)
    return best


def event_us(folder: str) -> float:
    """Return the median time of recording one event, in microseconds."""
    exporter = NdjsonLogRecordExporter(folder)
    attributes: dict[str, str | float] = {
        "skill": "triage",
        "agent": "reader",
        "confidence": 0.75,
        "version": "3",
    }
    made = ReadWriteLogRecord(
        LogRecord(timestamp=time.time_ns(), event_name="skill.outcome", attributes=attributes)
    )
    record = ReadableLogRecord(
        made.log_record, LoggerProvider().resource, InstrumentationScope("benchmark")
    )
    times = []
    for _ in range(EVENTS):
        began = time.perf_counter_ns()
        exporter.export([record])
        times.append(time.perf_counter_ns() - began)
    exporter.shutdown()
    return sorted(times)[EVENTS // 2] / 1000


def main() -> int:
    """Print the times, the ratios and whether each bar is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--points", type=int, default=1000, help="data points a collection")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    data = collections(arguments.points)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        ours = NdjsonMetricExporter(os.path.join(folder, "archive"), compression="none")
        peer = FileMetricExporter(os.path.join(folder, "peer.jsonl"))
        for batch in data:
            ours.export(batch)
        (segment,) = find_segments(os.path.join(folder, "archive"))
        lines = [line for _, _, line in read_lines(segment) if line.startswith(b'{"kind":"metric"')]
        dicts = [msgspec.json.decode(line) for line in lines]
        encoder = msgspec.json.Encoder()
        plain = os.open(os.path.join(folder, "dicts"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)

        def write_ours() -> None:
            for batch in data:
                ours.export(batch)

        def write_peer() -> None:
            for batch in data:
                peer.export(batch)

        def write_dicts() -> None:
            for at in range(0, len(dicts), arguments.points):
                os.write(plain, encoder.encode_lines(dicts[at : at + arguments.points]))

        points = arguments.points * COLLECTIONS
        work = (write_ours, write_peer, write_dicts)
        own, other, ready = best_ns(work, folder, rounds=arguments.rounds, points=points)
        ours.shutdown()
        peer.shutdown()
        os.close(plain)
        event = event_us(os.path.join(folder, "events"))
    print(f"NdjsonMetricExporter          {own:8.0f} ns a point")
    print(f"otlp-json-file (upstream)     {other:8.0f} ns a point")
    print(f"msgspec, ready-made dicts     {ready:8.0f} ns a point")
    peer_ratio, dicts_ratio = other / own, ready / own
    met = [
        verdict(
            "times faster than upstream",
            peer_ratio,
            PEER_RATIO_MIN,
            met=peer_ratio >= PEER_RATIO_MIN,
        ),
        verdict(
            "times the speed of dicts",
            dicts_ratio,
            DICTS_RATIO_MIN,
            met=dicts_ratio >= DICTS_RATIO_MIN,
        ),
        verdict("microseconds an event", event, EVENT_US_MAX, met=event <= EVENT_US_MAX),
    ]
    return 0 if all(met) else 1


def verdict(what: str, value: float, bar: float, *, met: bool) -> bool:
    """Print one figure beside its bar."""
    print(f"{value:8.2f} {what:30} bar {bar:g}: {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    sys.exit(main())

"""How many bytes a data point takes in a sealed segment of the archive.

    python benchmarks/archive_size.py [--seed 1] [--folder DIR]

A realistic set: 100 skills with three attributes each, a quarter of an hour, a collection each
5 s; in each interval a third of the skills does nothing, so that their points stay the same. For
each skill there is a counter, a sum of costs, a gauge and a histogram of twelve buckets.

The same collections are written by `NdjsonMetricExporter`, whose segment is then compressed by what
compresses every sealed segment, and by upstream's `opentelemetry-exporter-otlp-json-file`, whose
file is compressed by zstd at the same level. The segment before it is compressed, and that by gzip
at its highest level, stand beside them. Sizes depend on the seed only, and hardly on that.
"""

import argparse
import gzip
import os
import random
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Iterator

import zstandard
from opentelemetry.exporter.otlp.json.file import FileMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson import NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.frames import LEVEL, compress

SKILLS = 100
SPAN_S = 900
INTERVAL_S = 5
UNCHANGED = 1 / 3
JITTER_NS = 3_000_000
BEGIN_NS = 1_790_000_000_000_000_000
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
POINTS = 4 * SKILLS * (SPAN_S // INTERVAL_S)
POINT_BYTES_MAX = 12.0
CUMULATIVE = AggregationTemporality.CUMULATIVE


class Skill:
    """One skill and what was measured of it so far."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.attributes = {
            "gen_ai.skill": f"skill-{number:03d}",
            "outcome": chance.choice(["correct", "incorrect"]),
            "agent": f"agent-{number % 7}",
        }
        self.calls = chance.randrange(1000)
        self.cost = chance.random() * 10
        self.fidelity = round(chance.random(), 2)
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds: list[float] = [chance.lognormvariate(0, 1)]

    def work(self, chance: random.Random) -> None:
        """Go on for one interval; now and then there is nothing to do."""
        if chance.random() < UNCHANGED:
            return
        self.calls += chance.randrange(1, 5)
        self.cost += chance.random() * 0.01
        self.fidelity = round(chance.random(), 2)
        self.seconds.append(chance.lognormvariate(0, 1))

    def number(self, value: float, time_ns: int, start_ns: int | None) -> NumberDataPoint:
        """Return a value of this skill as the SDK does; a gauge has no start."""
        return NumberDataPoint(self.attributes, start_ns, time_ns, value)  # type: ignore[arg-type] # the SDK itself gives None

    def duration(self, time_ns: int) -> HistogramDataPoint:
        """Return how long its calls took."""
        counts = [0] * (len(BOUNDS) + 1)
        for seconds in self.seconds:
            counts[bisect_left(BOUNDS, seconds)] += 1
        return HistogramDataPoint(
            self.attributes,
            BEGIN_NS,
            time_ns,
            count=len(self.seconds),
            sum=sum(self.seconds),
            bucket_counts=tuple(counts),
            explicit_bounds=BOUNDS,
            min=min(self.seconds),
            max=max(self.seconds),
        )


def collections(chance: random.Random) -> Iterator[MetricsData]:
    """Return one collection after the other."""
    resource = Resource({"service.name": "shop", "service.instance.id": "shop-1"})
    scope = InstrumentationScope("otel_metrics", "1")
    skills = [Skill(number, chance) for number in range(SKILLS)]
    for collection in range(SPAN_S // INTERVAL_S):
        now_ns = BEGIN_NS + collection * INTERVAL_S * 10**9 + chance.randrange(JITTER_NS)
        for skill in skills:
            skill.work(chance)
        calls = [skill.number(skill.calls, now_ns, BEGIN_NS) for skill in skills]
        costs = [skill.number(skill.cost, now_ns, BEGIN_NS) for skill in skills]
        fidelity = [skill.number(skill.fidelity, now_ns, None) for skill in skills]
        durations = [skill.duration(now_ns) for skill in skills]
        metrics = [
            Metric("skill.calls", "Calls", "{call}", Sum(calls, CUMULATIVE, is_monotonic=True)),
            Metric("skill.cost", "Cost", "USD", Sum(costs, CUMULATIVE, is_monotonic=True)),
            Metric("skill.fidelity", "Fidelity", "1", Gauge(fidelity)),
            Metric("skill.duration", "Duration", "s", Histogram(durations, CUMULATIVE)),
        ]
        yield MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def written(folder: str, chance: random.Random) -> tuple[bytes, bytes]:
    """Return the bytes of the sealed segment, not yet compressed, and those of upstream's file."""
    archive, beside = os.path.join(folder, "archive"), os.path.join(folder, "peer.jsonl")
    ours = NdjsonMetricExporter(archive, compression="none")
    peer = FileMetricExporter(beside)
    for data in collections(chance):
        ours.export(data)
        peer.export(data)
    ours.shutdown()
    peer.shutdown()
    (segment,) = find_segments(archive)
    with open(segment.path, "rb") as lines, open(beside, "rb") as other:
        return lines.read(), other.read()


def main() -> int:
    """Print the sizes and whether the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        lines, other = written(folder, random.Random(arguments.seed))
    own = len(b"".join(compress([lines], len(lines)))) / POINTS
    peer = len(zstandard.ZstdCompressor(level=LEVEL).compress(other)) / POINTS
    print(f"{POINTS} points, {SKILLS} skills, {SPAN_S} s, a collection each {INTERVAL_S} s")
    print(f"segment, not compressed       {len(lines) / POINTS:8.2f} bytes a point")
    print(f"segment, gzip -9              {len(gzip.compress(lines, 9)) / POINTS:8.2f}")
    print(f"otlp-json-file (upstream)     {len(other) / POINTS:8.2f}")
    print(f"otlp-json-file, zstd -{LEVEL}       {peer:8.2f}: {peer / own:.2f} times the sealed one")
    met = own <= POINT_BYTES_MAX
    print(
        f"{own:8.2f} bytes a point, sealed        bar {POINT_BYTES_MAX:g}: "
        f"{'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

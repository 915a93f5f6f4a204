"""What `SYNC=always` costs, and what callers gain who share an fsync.

    python benchmarks/archive_always.py [--seconds 2] [--threads 8] [--folder DIR]

Events are recorded by one thread and by eight, each acknowledged when it is on the disk, and beside
them by the peer: a loop that writes the same line to a file and calls `fdatasync`, once an event.
All three take turns, some times over; the medians count. Then the same with 1 ms added to each
`fdatasync`, as on a slower disk.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson import NdjsonLogRecordExporter, read
from otel_exporter_ndjson.fs import RealFs

ROUNDS = 5
ADDED_S = 0.001
RATIO_MIN = 2.5
RATIO_SLOW_MIN = 4.0


class SlowFs(RealFs):
    """The operating system's files, on a disk that takes longer."""

    def __init__(self, added_s: float) -> None:
        self.added_s = added_s

    def sync(self, descriptor: int) -> None:
        """See `Fs`."""
        super().sync(descriptor)
        if self.added_s:
            time.sleep(self.added_s)


def record() -> ReadableLogRecord:
    """Return one event with four attributes."""
    attributes: dict[str, str | float] = {
        "skill": "triage",
        "agent": "reader",
        "confidence": 0.75,
        "version": "3",
    }
    made = LogRecord(timestamp=time.time_ns(), event_name="skill.outcome", attributes=attributes)
    return ReadableLogRecord(made, Resource({}), InstrumentationScope("benchmark"))


def rate(seconds: float, threads: int, work: Callable[[], None]) -> float:
    """Return how often a second `work` is done by so many threads together."""
    counts = [0] * threads
    end = time.perf_counter() + seconds

    def run(at: int) -> None:
        while time.perf_counter() < end:
            work()
            counts[at] += 1

    began = time.perf_counter()
    running = [threading.Thread(target=run, args=(at,)) for at in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def measure(folder: str, seconds: float, threads: int, added_s: float) -> tuple[float, ...]:
    """Return events a second of the peer, of one thread and of many."""
    archive = os.path.join(folder, f"archive-{added_s}")
    exporter = NdjsonLogRecordExporter(archive, sync="always", fs=SlowFs(added_s))
    event = record()

    def ours() -> None:
        if exporter.export([event]) is not LogRecordExportResult.SUCCESS:
            raise SystemExit(f"an event was not acknowledged: {exporter.last_error}")

    ours()
    line = next(iter(read(archive))).raw
    peer = os.open(os.path.join(folder, "peer"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    slow = SlowFs(added_s)

    def alone() -> None:
        os.write(peer, line)
        slow.sync(peer)

    rounds = [
        (rate(seconds, 1, alone), rate(seconds, 1, ours), rate(seconds, threads, ours))
        for _ in range(ROUNDS)
    ]
    exporter.shutdown()
    os.close(peer)
    return tuple(statistics.median(column) for column in zip(*rounds, strict=True))


def main() -> None:
    """Print the rates, the ratios and whether each bar is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each of three, each round")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--folder", help="where to write; default: the current folder's disk")
    arguments = parser.parse_args()
    for added_s, bar in ((0.0, RATIO_MIN), (ADDED_S, RATIO_SLOW_MIN)):
        with tempfile.TemporaryDirectory(dir=arguments.folder or ".") as folder:
            alone, one, many = measure(folder, arguments.seconds, arguments.threads, added_s)
        print(f"fdatasync{' + 1 ms' if added_s else ''}:")
        print(f"  one write and fsync an event {alone:8.0f} events/s")
        print(f"  always, one thread           {one:8.0f} events/s")
        print(f"  always, {arguments.threads} threads            {many:8.0f} events/s")
        met = "met" if many / alone >= bar else "MISSED"
        print(f"  {many / alone:.2f} times the lone fsync    bar {bar:g}: {met}")


if __name__ == "__main__":
    main()

"""What the page's own port does under load: 1,000 scrapes at once, and 1,000 bad clients.

The server is a process of its own with 10,000 points, a third of them histograms, all of which
changed since the last scrape; the clients are in this one. First 1,000 scrapers ask at the same
time, as Prometheus does (gzip) and without compression: each must get 200 or 503, by a handful of
collections. Then one scraper asks again and again beside 1,000 sockets that misbehave: send a
header a byte at a time, send a body a byte at a time, or never read the answer. It must always get
its page, and the server must close every one of the others.

Reproduce: .venv/bin/python benchmarks/page_under_load.py
"""

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from opentelemetry.sdk.metrics import MeterProvider

from otel_exporter_prometheus import PrometheusMetricReader
from otel_exporter_prometheus.page import SHARED_AGE_S

SERIES_PER_METRIC = 200
COLLECTIONS_MAX = 5
P99_MAX_S = 2.0
GOOD_MAX_S = 1.0
CLOSED_MAX_S = 11.0
"""10 s for a reader to take its answer, and the time that 1,000 sockets take."""
DRIP_S = 0.25


@dataclass(frozen=True)
class Outcome:
    """What one client got: a status (0: none), in what time, and whether the body was whole."""

    status: int
    seconds: float
    whole: bool


def serve(pipe: Connection, points: int) -> None:
    """Run in the server's process: say the port, then the collections each time when asked."""
    reader = PrometheusMetricReader(port=0)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    meter = provider.get_meter("benchmark")
    attributes = [
        {"model": f"m{number % 7}", "outcome": f"o{number % 3}", "skill": f"skill-{number}"}
        for number in range(SERIES_PER_METRIC)
    ]
    recorders: list[Callable[..., None]] = []
    for number in range(points // 3 // SERIES_PER_METRIC):
        recorders.append(meter.create_counter(f"counter.{number}", "s", "A counter.").add)
        recorders.append(meter.create_gauge(f"gauge.{number}", "By", "A gauge.").set)
        recorders.append(meter.create_histogram(f"histogram.{number}", "s", "Times.").record)
    answer: object = reader.port
    for turn in itertools.count(1.0):
        for recorder in recorders:
            for given in attributes:
                recorder(turn, given)
        pipe.send(answer)
        if pipe.recv() == "end":
            break
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = (reader.stats().collections, memory)
    provider.shutdown()


async def scrape(port: int, *, gzip: bool, method: str = "GET") -> Outcome:
    """Ask once, and read all that is sent."""
    encoding = "gzip" if gzip else "identity"
    begun = time.perf_counter()
    status, whole = 0, False
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError, IndexError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        request = f"{method} /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {encoding}"
        writer.write(f"{request}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(head[0].split()[1])
        lengths = [line.split(": ")[1] for line in head if line.startswith("Content-Length")]
        wanted = received = int(lengths[0])
        while received and (more := await reader.read(2**20)):
            received -= len(more)
        whole = received == 0 and wanted > 0
        writer.close()
    return Outcome(status, time.perf_counter() - begun, whole)


async def crowd(port: int, clients: int, *, gzip: bool) -> list[Outcome]:
    """Let many ask at once."""
    return await asyncio.gather(*(scrape(port, gzip=gzip) for _ in range(clients)))


async def bad(port: int, number: int, opened: asyncio.Semaphore) -> float:
    """Be one of three bad clients; return how long the server put up with it."""
    async with opened:  # a burst of connects beyond the backlog would only measure TCP's retries
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    begun = time.perf_counter()
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
    kind = number % 3
    if kind == 1:
        request = request.replace(b"GET", b"POST") + b"Content-Length: 100000\r\n\r\n"
    elif kind == 2:
        request += b"\r\n"
    with contextlib.suppress(OSError):
        writer.write(request)
        # Who never reads sees the end by a byte that cannot be written.
        while not writer.transport.is_closing() and (kind == 2 or not reader.at_eof()):
            await asyncio.sleep(DRIP_S)
            writer.write(b"x")
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
    return time.perf_counter() - begun


async def besieged(port: int, clients: int) -> tuple[list[Outcome], list[float]]:
    """Scrape while bad clients come and stay; return each scrape, and each bad client's time."""
    opened = asyncio.Semaphore(64)
    crowd = [asyncio.ensure_future(bad(port, number, opened)) for number in range(clients)]
    outcomes = []
    while not all(each.done() for each in crowd):
        outcomes.append(await scrape(port, gzip=True))
        await asyncio.sleep(0.1)
        if len(outcomes) > 600:
            break
    done = [each.result() for each in crowd if each.done()]
    for each in crowd:
        each.cancel()
    return outcomes, done


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def report_crowd(name: str, outcomes: Sequence[Outcome], collections: int) -> bool:
    """Print what many scrapers got; say whether the bars hold."""
    statuses = Counter(outcome.status for outcome in outcomes)
    p99 = percentile([outcome.seconds for outcome in outcomes], 0.99)
    broken = sum(not outcome.whole for outcome in outcomes)
    said = ", ".join(f"{count} x {status or 'none'}" for status, count in sorted(statuses.items()))
    print(f"{name}\n  answers      {said}, {broken} not whole (bar: 200 and 503, all whole)")
    print(f"  collections  {collections} (bar: {COLLECTIONS_MAX})")
    median = statistics.median(outcome.seconds for outcome in outcomes)
    print(f"  time         median {median:.2f} s, p99 {p99:.2f} s (bar: {P99_MAX_S} s)")
    only = set(statuses) <= {200, 503} and statuses[200] > 0 and not broken
    return only and collections <= COLLECTIONS_MAX and p99 < P99_MAX_S


def report_siege(outcomes: Sequence[Outcome], closed: Sequence[float], clients: int) -> bool:
    """Print what the good scraper got, and when the others were closed; say whether it holds."""
    good = [outcome for outcome in outcomes if outcome.status == 200 and outcome.whole]
    slowest = max(outcome.seconds for outcome in outcomes)
    print(f"a scraper beside {clients} bad clients")
    print(f"  answers      {len(good)} of {len(outcomes)} scrapes got the page (bar: all)")
    print(f"  time         slowest {slowest:.2f} s (bar: {GOOD_MAX_S} s)")
    last = max(closed, default=0.0)
    print(
        f"  bad clients  {len(closed)} closed, the last after {last:.1f} s (bar: {CLOSED_MAX_S} s)"
    )
    whole = len(good) == len(outcomes) and len(closed) == clients
    return whole and slowest < GOOD_MAX_S and last < CLOSED_MAX_S


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=1_000)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * arguments.clients)), hard))
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, arguments.points), daemon=True
    )
    server.start()
    port = ours.recv()

    def figures() -> tuple[int, int]:
        ours.send("figures")
        collections, rss = ours.recv()
        return collections, rss

    holds = True
    for gzip in (True, False):
        before, _ = figures()
        time.sleep(1.5 * SHARED_AGE_S)  # what was collected for others is too old to be shared
        outcomes = asyncio.run(crowd(port, arguments.clients, gzip=gzip))
        after, _ = figures()
        what = "gzip" if gzip else "not compressed"
        name = f"{arguments.clients} scrapes of {arguments.points} points at once, {what}"
        holds &= report_crowd(name, outcomes, after - before)
    holds &= report_siege(*asyncio.run(besieged(port, arguments.clients)), arguments.clients)
    print(f"server's memory at most {figures()[1] / 1024:.0f} MiB")
    ours.send("end")
    server.join(10)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())

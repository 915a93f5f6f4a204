"""What a page of four worker processes costs beside that of one.

Real processes: one that has the port and three that it forked, of one service, each with 1,000
series of which a tenth changes ten times a second. The page holds all; it is read over HTTP, in
turns with that of a service of one such process. Of each the median counts.

Reproduce: .venv/bin/python benchmarks/workers_scrape.py
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import time
import urllib.request
from multiprocessing.synchronize import Barrier, Event
from typing import Final

from opentelemetry import metrics

import otel_metrics

KEYS_PER_METRIC: Final = 100
BAR: Final = 3.0
START_S: Final = 60.0


def record(series: int, ready: Barrier, done: Event) -> None:
    """Record into `series` series, a third of them histograms, until told to stop."""
    meter = metrics.get_meter("benchmark")
    third = range(series // 3 // KEYS_PER_METRIC + 1)
    recorders = [meter.create_counter(f"counter.{number}").add for number in third]
    recorders += [meter.create_up_down_counter(f"level.{number}").add for number in third]
    recorders += [meter.create_histogram(f"histogram.{number}", "s").record for number in third]
    sets = [{"skill": f"skill-{key}", "agent": "a"} for key in range(KEYS_PER_METRIC)]
    everything = [(call, given) for call in recorders for given in sets][:series]
    for call, given in everything:
        call(1, given)
    time.sleep(2.5)  # each has published
    ready.wait(START_S)
    while not done.wait(0.1):
        for call, given in everything[:: KEYS_PER_METRIC // 10]:
            call(1, given)


def service(name: str, workers: int, series: int, port: int, ready: Barrier, done: Event) -> None:
    """Run one service of so many worker processes."""
    os.environ["OTEL_LOG_LEVEL"] = "error"
    otel_metrics.configure(
        service_name=name, metrics_exporter="prometheus", host_metrics="off", prometheus_port=port
    )
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=record, args=(series, ready, done)) for _ in range(workers - 1)
    ]
    for child in children:
        child.start()
    record(series, ready, done)
    for child in children:
        child.join()


def scrape(port: int) -> tuple[float, bytes]:
    begun = time.perf_counter()
    with urllib.request.urlopen(f"http://localhost:{port}/metrics") as response:
        page = response.read()
    return time.perf_counter() - begun, page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--port", type=int, default=19_464)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(arguments.workers + 2), context.Event()
    ports = {"one": arguments.port, "several": arguments.port + 1}
    services = [
        context.Process(
            target=service,
            args=(f"benchmark-{name}", number, arguments.series, ports[name], ready, done),
        )
        for name, number in (("one", 1), ("several", arguments.workers))
    ]
    for each in services:
        each.start()
    try:
        ready.wait(START_S)
        times: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(arguments.rounds):
            for name, port in ports.items():
                spent, page = scrape(port)
                times[name].append(spent)
                assert page.count(b"\n") > arguments.series
                time.sleep(0.05)
    finally:
        done.set()
        for each in services:
            each.join()
    one, several = (statistics.median(times[name]) for name in ("one", "several"))
    print(f"one process, {arguments.series} series            {one * 1000:8.2f} ms a scrape")
    print(
        f"{arguments.workers} workers, {arguments.series} series each     {several * 1000:8.2f} ms"
    )
    met = "met" if several / one < BAR else "MISSED"
    print(f"    {several / one:.2f} times as long            bar: under {BAR:g}: {met}")
    sys.exit(several / one >= BAR)


if __name__ == "__main__":
    main()

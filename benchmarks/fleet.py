"""How much does one agent hand on to Prometheus on this machine, and what breaks first?

The way is the deployed one: services with the bundle -> agent.yaml -> gateway.yaml (TLS, token) ->
Prometheus 3, each a process of its own, all on the same cores. Each service holds 5,000 series, of
which a tenth are histograms with five buckets, records into each once a second and exports all of
them every second, sixty times as often as by default. Services are added until something gives:
points do not arrive as fast as they are exported, a collector refuses some, the agent's queue
grows, or a service has to leave out a collection. Of each rate: points per second at each place,
the agent's queue, cores taken and memory (RSS).

Reproduce: make collector && .venv/bin/python benchmarks/fleet.py
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Final

import psutil

sys.path.append(str(Path(__file__).parents[1]))  # the way is that of the tests

from opentelemetry import metrics

import otel_metrics
from tests.collector_config.chain import Chain, chain
from tests.conftest import INSTALL, located

SERIES: Final = 5_000
KEYS_PER_METRIC: Final = 100
HISTOGRAMS: Final = 0.1
BOUNDS: Final = [0.1, 0.5, 1.0, 5.0, 10.0]
INTERVAL_S: Final = 1.0
DEFAULT_INTERVAL_S: Final = 60.0
SETTLE_S: Final = 3.0
START_S: Final = 60.0
ARRIVED: Final = 0.85
"""Of the points that are exported: below it they do not keep up. An export at the edge of what is
measured is a tenth of what a service sends in that time."""
QUEUE_MAX: Final = 16 * 2**20
"""Bytes that the agent's queue may have grown by: what is under way, and not more each time."""
OTHERS_MAX: Final = 0.2
"""Cores that others may take before the figures say less about the way than about them."""
SERVICES: Final = (1, 2, 4, 6, 8, 12, 16, 24, 32)


def serve(variables: dict[str, str], ready: Barrier, done: Event) -> None:
    """Run in a service's process: record into every series once a second until told to stop."""
    os.environ.update(variables)
    otel_metrics.configure()
    meter = metrics.get_meter("benchmark")
    names = range(SERIES // KEYS_PER_METRIC)
    histograms = int(len(names) * HISTOGRAMS)
    recorders = [
        meter.create_histogram(
            f"histogram.{name}", "s", explicit_bucket_boundaries_advisory=BOUNDS
        ).record
        if name < histograms
        else meter.create_counter(f"counter.{name}").add
        for name in names
    ]
    sets = [{"skill": f"skill-{key}", "agent": "support"} for key in range(KEYS_PER_METRIC)]
    for record in recorders:
        for given in sets:
            record(1, given)
    ready.wait(START_S)
    step = 0
    while not done.wait(INTERVAL_S / 10):
        step += 1
        for record in recorders:
            for given in sets[step % 10 :: 10]:
                record(1, given)


@dataclass(frozen=True, slots=True)
class Look:
    """What has been counted up to a moment."""

    at: float
    agent: float
    gateway: float
    refused: float
    queue: float
    skipped: float
    samples: float
    cpu: dict[str, float]
    busy: float


class Fleet:
    """Services, and the way to Prometheus; everything is measured from outside."""

    def __init__(self, way: Chain) -> None:
        self.way = way
        self.services: list[BaseProcess] = []
        self._context = multiprocessing.get_context("spawn")
        self._done = self._context.Event()
        self._parts = {
            name: psutil.Process(part.process.pid)
            for name, part in (("agent", way.agent), ("gateway", way.gateway))
            if part.process is not None
        }
        self._parts["prometheus"] = psutil.Process(way.prometheus.pid)

    def grow(self, services: int) -> None:
        """Start services until there are so many, and wait until the new ones work."""
        new = services - len(self.services)
        ready = self._context.Barrier(new + 1)
        variables = {
            "OTEL_LOG_LEVEL": "error",
            "OTEL_SERVICE_NAME": "fleet",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": f"{INTERVAL_S}s",
            "OTEL_PYTHON_METRICS_HOST_METRICS": "off",
            **self.way.variables,
        }
        for _ in range(new):
            process = self._context.Process(target=serve, args=(variables, ready, self._done))
            process.start()
            self.services.append(process)
        ready.wait(START_S)

    def look(self) -> Look:
        """Return what has been counted so far."""
        agent, gateway = self.way.agent, self.way.gateway
        own = [(each, name) for each in (agent, gateway) for name in _REFUSED]
        return Look(
            at=time.monotonic(),
            agent=agent.own("otelcol_receiver_accepted_metric_points"),
            gateway=gateway.own("otelcol_exporter_sent_metric_points"),
            refused=sum(each.own(name) for each, name in own),
            queue=agent.own("otelcol_exporter_queue_size"),
            skipped=self.way.prometheus.total('sum(delivery_skipped_total{exporter="otlp"})'),
            samples=self.way.prometheus.own("prometheus_tsdb_head_samples_appended_total"),
            cpu={name: _cpu_s(*parts) for name, parts in self._processes().items()},
            busy=_busy_s(),
        )

    def memory(self) -> dict[str, float]:
        """Return the memory of one of each, in MiB."""
        return {
            name: sum(each.memory_info().rss for each in parts) / len(parts) / 2**20
            for name, parts in self._processes().items()
        }

    def stop(self) -> None:
        """End the services."""
        self._done.set()
        for each in self.services:
            each.join(5)
            each.kill()

    def _processes(self) -> dict[str, list[psutil.Process]]:
        services = [psutil.Process(each.pid) for each in self.services]
        return {"services": services, **{name: [part] for name, part in self._parts.items()}}


_REFUSED: Final = (
    "otelcol_receiver_refused_metric_points",
    "otelcol_exporter_send_failed_metric_points",
    "otelcol_exporter_enqueue_failed_metric_points",
)


def _cpu_s(*processes: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def broken(offered: float, seconds: float, before: Look, after: Look) -> list[str]:
    """Return what did not keep up, in the order in which the points go."""
    found = []
    if after.skipped > before.skipped:
        found.append(f"services left out {after.skipped - before.skipped:.0f} collections")
    if after.refused > before.refused:
        found.append(f"collectors refused {after.refused - before.refused:,.0f} points")
    if after.queue > before.queue + QUEUE_MAX:
        found.append(f"the agent's queue grew by {(after.queue - before.queue) / 2**20:.0f} MiB")
    for place in ("agent", "gateway"):
        rate = (getattr(after, place) - getattr(before, place)) / seconds
        if rate < offered * ARRIVED:
            found.append(f"the {place} got {rate / offered:.0%} of what is exported")
    return found


@contextmanager
def running() -> Iterator[Fleet]:
    """Start the way to Prometheus in a folder of its own."""
    programs = {name: located(name) for name in ("otelcol", "prometheus3")}
    otelcol, prometheus3 = programs.values()
    if otelcol is None or prometheus3 is None:
        missing = [name for name, path in programs.items() if path is None]
        sys.exit(f"not installed: {', '.join(INSTALL[name] for name in missing)}")
    with (
        tempfile.TemporaryDirectory() as folder,
        chain(Path(folder), otelcol=otelcol, prometheus3=prometheus3) as way,
    ):
        fleet = Fleet(way)
        try:
            yield fleet
        finally:
            fleet.stop()


def main() -> None:
    """Print a line a rate, and what gave in the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each rate is measured")
    parser.add_argument("--limit", type=float, default=120.0, help="begin no rate after this time")
    parser.add_argument("--services", type=int, nargs="+", default=SERVICES, help="ascending")
    arguments = parser.parse_args()
    begun = time.monotonic()
    print(f"{os.cpu_count()} cores; {SERIES:,} series a service, exported every {INTERVAL_S:g} s")
    print(f"{'':9}{'points per second':^29}{'samples':>9}{'queue':>7}  {'cores':^39}  {'MiB':^31}")
    names = "".join(f"{name:>8}" for name in ("services", "agent", "gatew.", "prom."))
    print(
        f"{'services':9}{'exported':>9}{'agent':>10}{'gateway':>10}{'/ s':>9}{'MiB':>7} {names}"
        f"{'others':>8}  {names.replace('services', ' service')}"
    )
    best, gave, others = 0.0, ["nothing"], 0.0
    with running() as fleet:
        for services in arguments.services:
            if time.monotonic() - begun > arguments.limit:
                break
            fleet.grow(services)
            time.sleep(SETTLE_S)
            before = fleet.look()
            time.sleep(arguments.seconds)
            after = fleet.look()
            seconds, offered = after.at - before.at, services * SERIES / INTERVAL_S
            rates = [(getattr(after, at) - getattr(before, at)) / seconds for at in _PLACES]
            cores = [(after.cpu[name] - before.cpu[name]) / seconds for name in after.cpu]
            other = max(0.0, (after.busy - before.busy) / seconds - sum(cores))
            others = max(others, other)
            print(
                f"{services:8} {offered:9,.0f}{rates[0]:10,.0f}{rates[1]:10,.0f}{rates[2]:9,.0f}"
                f"{after.queue / 2**20:7.1f} {''.join(f'{each:8.2f}' for each in cores)}"
                f"{other:8.2f}  "
                f"{''.join(f'{each:8.0f}' for each in fleet.memory().values())}",
                flush=True,
            )
            gave = broken(offered, seconds, before, after) or ["nothing"]
            if gave != ["nothing"]:
                break
            best = rates[1]
    print(f"kept up with {best:,.0f} points a second: at the default interval of")
    print(f"    {DEFAULT_INTERVAL_S:g} s those are {best * DEFAULT_INTERVAL_S:,.0f} series")
    print(f"what gave then: {'; '.join(gave)}")
    if others > OTHERS_MAX:
        print(f"something else took up to {others:.1f} cores meanwhile: measure on a calm machine")


_PLACES: Final = ("agent", "gateway", "samples")


if __name__ == "__main__":
    main()

"""A service that records every metric of the catalog again and again, for Prometheus to scrape.

Run as a program: prints the port of its page, and ends when its standard input is closed.
"""

import itertools
import sys
import threading
from collections.abc import Iterator

import otel_metrics
from otel_metrics import instruments
from otel_metrics.catalog.model import Attribute, Catalog, Metric

Value = str | int | bool | float

STEP_S = 0.2
MEMBERS_MAX = 9
"""Values of an enumeration that are recorded: all, for every enumeration of the catalog."""
SET = ("skills", "budgets", "efficiency")
"""Domains whose gauges are set; those of others are observed."""
ASKED_FOR = {"exporter": ("ndjson", "otlp_logs")}
"""Values that a query names, though any text may be one."""
OPTIONAL = ("cpu.logical_number", "system.device")


def values_of(attribute: Attribute) -> tuple[Value, ...]:
    """Return the values that an attribute is recorded with."""
    if attribute.members:
        return tuple(member.value for member in attribute.members)[:MEMBERS_MAX]
    if attribute.type == "boolean":
        return (True, False)
    return ASKED_FOR.get(attribute.key) or attribute.examples[:1] or ("demo",)


def sets_of(metric: Metric, catalog: Catalog) -> Iterator[dict[str, Value]]:
    """Yield attribute sets: each combination of values, with and without what is conditional."""
    choices: list[list[tuple[str, Value] | None]] = []
    for key in metric.attributes:
        chosen: list[tuple[str, Value] | None] = [
            (key, value) for value in values_of(catalog.attributes[key])
        ]
        if key in OPTIONAL:
            continue
        level = metric.levels[key]
        choices.append([None, *chosen] if level.startswith("conditionally") else chosen)
    for combination in itertools.product(*choices):
        yield dict(part for part in combination if part is not None)


class Growing:
    """The values of one metric: counters grow, gauges stay, histograms get what is in a bucket."""

    def __init__(self, metric: Metric, catalog: Catalog) -> None:
        self._metric = metric
        self._sets = list(sets_of(metric, catalog))
        self._total = 0

    def record(self) -> None:
        """Record every attribute set once, where a handle takes it."""
        handle = instruments.metric(self._metric.name)
        for attributes in self._sets:
            if self._metric.instrument == "histogram":
                handle.record(self._metric.buckets[0], attributes)
            elif self._metric.instrument == "gauge":
                handle.set(1, attributes)
            else:
                handle.add(1, attributes)

    def read(self) -> instruments.Measured:
        """Return what is observed."""
        self._total += 1
        counts = self._metric.instrument == "counter"
        return [(self._total if counts else 1, attributes) for attributes in self._sets]


def main() -> None:
    """Serve until standard input ends."""
    telemetry = otel_metrics.configure(
        metrics_exporter="prometheus", prometheus_port=0, host_metrics="off"
    )
    catalog = instruments.catalog()
    growing = {name: Growing(metric, catalog) for name, metric in catalog.metrics.items()}
    for name, metric in catalog.metrics.items():
        if metric.instrument == "updowncounter" or (metric.observable and metric.domain not in SET):
            instruments.observe(name, growing.pop(name).read)
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print(telemetry.metrics_port, flush=True)
    while not stop.wait(STEP_S):
        for each in growing.values():
            each.record()
    telemetry.shutdown()


if __name__ == "__main__":
    main()

"""What tests of sampling share: declared metrics, and a sampler that keeps what it hands on."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData

from otel_metrics import instruments
from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import Band, Bands, Catalog, Metric, Source
from otel_metrics.service.host_figures import HostFigures
from otel_metrics.service.publisher import ERRORS
from otel_metrics.service.sampler import Sampler
from otel_metrics.service.samples import Resource, Sample

__all__ = ["ERRORS", "INTERVAL_S", "Kept", "declared", "errors_metric", "sampling"]

INTERVAL_S = 0.05
"""An interval that a test need not wait for."""


def declared(
    name: str = "executor.queue_depth", *, unit: str = "{task}", bands: bool = True, **source: Any
) -> Metric:
    """Return a metric with a source: a function's, unless said otherwise; good up to 25, critical
    from 75."""
    given = {"type": "callable", "interval_s": INTERVAL_S, "scope": "queue", **source}
    return Metric(
        name=name,
        instrument="gauge",
        unit=unit,
        brief="Something that is sampled.",
        prometheus=name.replace(".", "_"),
        value_type="double",
        domain="service",
        attributes=("service.resource.id",),
        bands=Bands(good=Band(upper=25), critical=Band(lower=75)) if bands else None,
        source=Source(**given),
        observable=True,
    )


def errors_metric() -> Metric:
    """Return the counter of samples that are not there."""
    return Metric(
        name=ERRORS,
        instrument="counter",
        unit="{error}",
        brief="Samples that a source did not give.",
        prometheus="service_source_errors_total",
        value_type="int",
        domain="service",
        attributes=("service.metric", "service.source", "error.type"),
    )


@dataclass
class Kept:
    """What a sampler handed on, in order.

    Attributes:
        missed: metric, resource id and reason of each sample that was not there.
    """

    sampler: Sampler
    samples: list[Sample] = field(default_factory=list)
    missed: list[tuple[str, str, str]] = field(default_factory=list)

    def value(self, metric: str = "executor.queue_depth", resource: str = "executor") -> float:
        """Return the value that holds now."""
        held = {
            sample.resource.id: sample.value
            for sample in self.sampler.table.samples()
            if sample.metric == metric
        }
        return held[resource]

    def values(self, metric: str = "executor.queue_depth") -> Mapping[str, float]:
        """Return the values that hold now, by resource id."""
        held = self.sampler.table.samples()
        return {each.resource.id: each.value for each in held if each.metric == metric}

    def reasons(self) -> set[str]:
        """Return why samples were not there."""
        return {reason for _, _, reason in self.missed}


@contextmanager
def sampling(
    *metrics: Metric,
    collect: Callable[[], MetricsData | None] = lambda: None,
    elected: Callable[[], bool] = lambda: True,
    variables: Mapping[str, str] | None = None,
    host: HostFigures | None = None,
    on_sample: Callable[[Sample], None] = lambda _: None,
) -> Iterator[Kept]:
    """Sample these metrics, which the catalog in force holds meanwhile."""
    known = builtin()
    declared_here = {metric.name: metric for metric in (errors_metric(), *metrics)}
    instruments.use_catalog(
        Catalog(
            metrics={**known.metrics, **declared_here},
            attributes=known.attributes,
            events=known.events,
        )
    )
    samples: list[Sample] = []
    missed: list[tuple[str, str, str]] = []

    def take(sample: Sample) -> None:
        samples.append(sample)
        on_sample(sample)

    def miss(metric: str, resource: Resource, reason: str) -> None:
        missed.append((metric, resource.id, reason))

    sampler = Sampler(
        {metric.name: metric for metric in metrics},
        collect=collect,
        elected=elected,
        variables=variables or {},
        on_sample=take,
        on_missed=miss,
        resource_ids={"service": "shop", "host": "host-1"},
        host=host,
    )
    sampler.start()
    try:
        yield Kept(sampler, samples, missed)
    finally:
        sampler.stop(time.monotonic() + 30)

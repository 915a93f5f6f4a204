"""A metric, samples of it, and a keeper whose clock a test sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_metrics.catalog.model import Band, Bands, Metric, Playbooks, Source
from otel_metrics.service.keeper import Keeper
from otel_metrics.service.samples import BandName, Recommendation, Resource, Sample
from otel_metrics.service.store import ServiceStore

__all__ = ["CPU", "HOST", "START", "Kept", "metric", "sample"]

START = 1_800_000_000.0
"""A whole number of windows since 1970: 2027-01-15T08:00:00Z."""
HOST = Resource("host", "host-1")


def metric(name: str = "infra.cpu_utilization", *, interval_s: float = 30.0) -> Metric:
    """Return a metric as the catalog would have it."""
    return Metric(
        name=name,
        instrument="gauge",
        unit="%",
        brief="CPU",
        prometheus="infra_cpu_utilization_percent",
        value_type="double",
        domain="service",
        bands=Bands(good=Band(upper=70.0), critical=Band(lower=85.0)),
        playbooks=Playbooks(warning="shift-load", critical="scale-nodes"),
        source=Source(type="host", interval_s=interval_s, scope="host", unit_name="percent"),
    )


CPU = metric()


def sample(
    value: float,
    *,
    at: float,
    band: BandName | None = None,
    resource: Resource = HOST,
    name: str = CPU.name,
) -> Sample:
    """Return a sample; its band is that of the value, where none is given."""
    if band is None:
        band = "good" if value <= 70 else "critical" if value >= 85 else "warning"
    return Sample(metric=name, resource=resource, value=value, observed_at=at, band=band)


@dataclass
class Kept:
    """A keeper, what it emitted and recommended, and what time it takes it to be."""

    store: ServiceStore | None = None
    window_s: float = 300.0
    metrics: Mapping[str, Metric] = field(default_factory=lambda: {CPU.name: CPU})
    now: float = START
    events: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    recommendations: list[Recommendation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keeper = Keeper(
            self.metrics,
            window_s=self.window_s,
            store=self.store,
            emit=self._emit,
            on_recommendation=self.recommendations.append,
            clock=lambda: self.now,
        )

    def _emit(
        self, name: str, attributes: Mapping[str, object], *, timestamp_ns: int | None = None
    ) -> None:
        del timestamp_ns
        self.events.append((name, attributes))

    def take(self, *values: float, every_s: float = 30.0, resource: Resource = HOST) -> None:
        """Take values, one an interval, the first of them one interval from now."""
        for value in values:
            self.now += every_s
            self.keeper.take(sample(value, at=self.now, resource=resource))

    def pass_(self, seconds: float) -> None:
        """Let time pass, and let the keeper do what is due."""
        self.now += seconds
        assert self.keeper.flush()

    def snapshots(self) -> list[Mapping[str, object]]:
        """Return the snapshots that were emitted so far."""
        return [attributes for name, attributes in self.events if name == "service.snapshot"]

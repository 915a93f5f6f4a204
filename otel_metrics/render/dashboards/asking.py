"""What dashboards ask: the catalog's series and the recorded ones, of the services chosen. Pure."""

from collections.abc import Mapping
from typing import Final

from otel_metrics.catalog.model import Catalog, Metric
from otel_metrics.render.panels import Variable
from otel_metrics.render.promql import NO_CONDITION, P95, Queries, per, share

__all__ = ["Asking"]

SERVICE: Final = 'job=~"$service"'
INTERVAL: Final = "$__rate_interval"


class Asking:
    """Queries of the dashboards over one catalog, each within the services that a reader chose.

    Attributes:
        service, instance: the variables of a dashboard.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.queries = Queries(catalog, scope=SERVICE)
        self.instances = Queries(catalog, scope=f'{SERVICE},instance=~"$instance"')
        present = self.metric("pipeline.progress.age").prometheus
        self.service = Variable("service", "Service", f"label_values({present}, job)")
        self.instance = Variable(
            "instance", "Instance", f"label_values({present}{{{SERVICE}}}, instance)"
        )

    def metric(self, name: str) -> Metric:
        """Return a metric's entry."""
        return self.queries.metric(name)

    def recorded(self, name: str, condition: str = "") -> str:
        """Return a recorded series."""
        return f"{name}{{{SERVICE}{condition and ',' + condition}}}"

    def total(self, name: str, *, where: Mapping[str, str] = NO_CONDITION) -> str:
        """Return a counter since the services started, 0 where it never counted."""
        return f"sum({self.queries.selector(name, where=where)}) or vector(0)"

    def rate(
        self,
        name: str,
        window: str = INTERVAL,
        *,
        by: str = "",
        part: str = "",
        where: Mapping[str, str] = NO_CONDITION,
    ) -> str:
        """Return a rate a second over all services chosen, by labels."""
        selector = self.queries.selector(name, part=part, where=where)
        return f"sum{by and f' by ({by})'} (rate({selector}[{window}]))"

    def share(self, name: str, part: Mapping[str, str], whole: Mapping[str, str]) -> str:
        """Return what share of a counter's growth in the last hour meets a condition."""
        return share(self.rate(name, "1h", where=part), self.rate(name, "1h", where=whole))

    def mean(self, name: str, window: str = "1h", *, by: str = "") -> str:
        """Return the mean of a histogram."""
        return per(
            self.rate(name, window, by=by, part="sum"), self.rate(name, window, by=by, part="count")
        )

    def quantile(self, name: str, *, by: str) -> str:
        """Return the 95th percentile of a histogram, by labels."""
        return f"histogram_quantile({P95:g}, {self.rate(name, by=f'{by}, le', part='bucket')}) >= 0"

    def each(self, name: str, *, where: Mapping[str, str] = NO_CONDITION) -> str:
        """Return a gauge of the instances chosen."""
        return self.instances.selector(name, where=where)

    def each_rate(self, name: str, *, by: str, where: Mapping[str, str] = NO_CONDITION) -> str:
        """Return a rate a second of the instances chosen, by labels."""
        return f"sum by ({by}) (rate({self.instances.selector(name, where=where)}[{INTERVAL}]))"

    def cpu_used(self) -> str:
        """Return the share of the CPUs that is in use, by instance: every mode but idle."""
        used = self.each("system.cpu.utilization", where={"cpu.mode": "!idle"})
        return f"sum by (instance) ({used})"

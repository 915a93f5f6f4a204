"""From a metric's declared source to the function that asks it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from opentelemetry.sdk.metrics.export import MetricsData

from otel_metrics.catalog.model import Metric, Source
from otel_metrics.service.host_figures import HostFigures, read_host
from otel_metrics.service.http_server import HttpServer
from otel_metrics.service.prometheus import prometheus_reader
from otel_metrics.service.readings import ErrorType, Read, Readings, SourceError

__all__ = ["PROMETHEUS_URL", "SQL_URL", "Sources"]

SQL_URL: Final = "OTEL_PYTHON_METRICS_SERVICE_SQL_URL"
PROMETHEUS_URL: Final = "OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL"

_OWN: Final = frozenset({"http_server", "callable"})
"""Sources that each process of a service has of its own."""


class Sources:
    """What can be asked in this process.

    Args:
        collect: a collection of this process's own metrics.
        variables: the environment, with the URLs.
        host: the figures of the host, None where there are none.
    """

    def __init__(
        self,
        *,
        collect: Callable[[], MetricsData | None],
        variables: Mapping[str, str],
        host: HostFigures | None,
    ) -> None:
        self._collect = collect
        self._variables = variables
        self._host = host

    def is_shared(self, source: Source) -> bool:
        """Tell whether one process of a service asks this source for all of them."""
        return source.type not in _OWN

    def reader(self, metric: Metric) -> Read | None:
        """Return what asks the declared source of a metric.

        None where the deployment has none such: no URL is set, no function is registered, no
        capacity is said. One that cannot be asked as it is set up says so when it is asked.
        """
        source = metric.source
        if source is None:
            return None
        try:
            if source.type == "host":
                return self._host_reader(metric, source)
            if source.type == "sql":
                return self._sql_reader(source)
            if source.type == "prometheus":
                return self._prometheus_reader(source)
            if source.type == "http_server":
                return self._http_server_reader(metric, source)
        except SourceError as error:
            return partial(_fail, error.kind, str(error))
        return None

    def _host_reader(self, metric: Metric, source: Source) -> Read | None:
        if self._host is None:
            return None
        return partial(read_host, self._host, source.statistic, metric.unit)

    def _sql_reader(self, source: Source) -> Read | None:
        variable = source.url_variable or SQL_URL
        url = self._variables.get(variable)
        if not url or source.query is None:
            return None
        # Deferred: SQLAlchemy is an extra, and takes 0.3 s to load. Here and not when it is asked:
        # a fork while another thread imports would leave the child half a module.
        try:
            from otel_metrics.service.sql import sql_reader
        except ModuleNotFoundError as error:
            raise SourceError(
                "configuration", f"{variable}: {error}; pip install 'otel-metrics[sql]'"
            ) from None
        return sql_reader(variable, url, source.query, source.timeout_s)

    def _prometheus_reader(self, source: Source) -> Read | None:
        variable = source.url_variable or PROMETHEUS_URL
        url = self._variables.get(variable)
        if not url or source.query is None:
            return None
        return prometheus_reader(variable, url, source.query, source.scope, source.timeout_s)

    def _http_server_reader(self, metric: Metric, source: Source) -> Read | None:
        if source.statistic == "saturation" and source.capacity is None:
            return None
        return HttpServer(self._collect, source.statistic, metric.unit, source.capacity).read


def _fail(kind: ErrorType, message: str) -> Readings:
    raise SourceError(kind, message)

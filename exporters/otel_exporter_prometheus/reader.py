"""`PrometheusMetricReader`: a reader for any MeterProvider, with a page of its own.

For a service without the bundle. The bundle's hub collects itself and hands what it collected to
a `ServicePage`.
"""

import logging
import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.semconv._incubating.attributes.otel_attributes import OtelComponentTypeValues

from otel_exporter_prometheus import access
from otel_exporter_prometheus.errors import ListenError, SettingError
from otel_exporter_prometheus.page import Page, Stats
from otel_exporter_prometheus.service import service_of
from otel_exporter_prometheus.service_page import ServicePage
from otel_exporter_prometheus.settings import Settings, from_arguments, from_environ

__all__ = ["PrometheusMetricReader"]

COLLECT_TIMEOUT_MS: Final = 30_000.0
"""What the SDK is given for all callbacks of one collection."""

_SECRETS: Final = ("bearer_token_file", "basic_auth_file", "tls_cert_file", "tls_key_file")

_logger = logging.getLogger("otel_exporter_prometheus")


class PrometheusMetricReader(MetricReader):
    """Serves a MeterProvider's metrics to Prometheus.

    What is not given as an argument is read from `OTEL_EXPORTER_PROMETHEUS_*`. A port that is taken
    is logged and does not stop the service; then there is no page until it is free.

    Args:
        host: where to listen; `localhost` by default.
        port: 9464 by default; 0 takes a free one, see `port`.
        bearer_token_file: tokens, one a line; who reads the page must present one.
        basic_auth_file: `user:hash` lines with bcrypt hashes, another way to be let in.
        tls_cert_file, tls_key_file: the page speaks HTTPS with these.
        allow_unauthenticated: whether `host` may be reached from other machines.
        scope_labels: whether series carry `otel_scope_*` labels.
        service: whose page it is: processes of one service share one port, on which all of them
            show their metrics together. By default what `OTEL_SERVICE_NAME` and
            `OTEL_RESOURCE_ATTRIBUTES` say; without a name, that of the process group. A child that
            is forked later is not shown: the SDK would count what its parent did once more.
        serve: whether to open a page; without, `page()` returns what it would show.

    Raises:
        SettingError: an argument is wrong.

    >>> from opentelemetry.sdk.metrics import MeterProvider
    >>> reader = PrometheusMetricReader(serve=False)
    >>> provider = MeterProvider(metric_readers=[reader])
    >>> provider.get_meter("shop").create_counter("orders").add(3, {"paid": True})
    >>> print(reader.page().decode().splitlines()[-1])
    orders_total{paid="true"} 3
    >>> provider.shutdown()
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        bearer_token_file: str | None = None,
        basic_auth_file: str | None = None,
        tls_cert_file: str | None = None,
        tls_key_file: str | None = None,
        allow_unauthenticated: bool | None = None,
        scope_labels: bool = False,
        service: str | None = None,
        serve: bool = True,
    ) -> None:
        super().__init__(
            otel_component_type=OtelComponentTypeValues.PROMETHEUS_HTTP_TEXT_METRIC_EXPORTER,
        )
        self._received: MetricsData | None = None
        self._collecting = threading.Lock()
        settings = _settings(
            {
                "host": host,
                "port": port,
                "bearer_token_file": bearer_token_file,
                "basic_auth_file": basic_auth_file,
                "tls_cert_file": tls_cert_file,
                "tls_key_file": tls_key_file,
                "allow_unauthenticated": allow_unauthenticated,
            }
        )
        self._shared: ServicePage | None = None
        if serve:
            named = Resource.create({} if service is None else {SERVICE_NAME: service})
            self._shared = ServicePage(
                self._take,
                settings,
                service_of(named.attributes),
                scope_labels=scope_labels,
            )
            self._page = self._shared.page
            self._open(self._shared)
        else:
            self._page = Page(self._take, scope_labels=scope_labels)

    @property
    def port(self) -> int | None:
        """The port of the page, None when there is none."""
        return None if self._shared is None else self._shared.port

    def page(self, *, openmetrics: bool = False) -> bytes:
        """Collect, and return what the page shows."""
        return self._page.write(self._take(), openmetrics=openmetrics)

    def stats(self) -> Stats:
        """Return what happened on the page since its start."""
        return self._page.stats()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Return True: who reads the page collects, and nothing waits to be sent."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Close the page; it is given at most a second of `timeout_millis`."""
        del kwargs
        shared, self._shared = self._shared, None
        if shared is not None:
            timeout_s = min(1.0, timeout_millis / 1000)
            self._page.refresh(timeout_s)
            shared.stop(timeout_s=timeout_s)

    def _open(self, shared: ServicePage) -> None:
        try:
            shared.start()
        except ListenError as error:
            _logger.error("%s", error)  # one line, and no traceback of ours
        _close_in_children(self)

    def _after_fork(self) -> None:
        self._collecting = threading.Lock()
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.after_fork()

    def _take(self) -> MetricsData | None:
        with self._collecting:
            self._received = None
            if self._collect is not None:  # no provider has this reader yet
                self.collect(timeout_millis=COLLECT_TIMEOUT_MS)
            received, self._received = self._received, None
            return received

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,  # the SDK's signature
    ) -> None:
        del timeout_millis, kwargs
        self._received = metrics_data


def _settings(arguments: Mapping[str, object]) -> Settings:
    settings, problems = from_environ(os.environ)
    changed = from_arguments(settings, arguments)
    unsafe = access.problem(changed)
    if unsafe is not None and any(arguments[field] is not None for field in _SECRETS):
        raise SettingError(unsafe)
    for problem in problems:
        if str(problem) != changed.refusal:  # a refusal is logged where the page stays closed
            _logger.warning("%s", problem)
    return changed


def _close_in_children(reader: PrometheusMetricReader) -> None:
    """Let a forked child let go of the page, for as long as the reader lives."""
    if not hasattr(os, "register_at_fork"):
        return
    weak = weakref.WeakMethod(reader._after_fork)  # of this module

    def in_child() -> None:
        after_fork = weak()
        if after_fork is not None:
            after_fork()

    os.register_at_fork(after_in_child=in_child)

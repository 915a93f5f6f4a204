"""Builds what the settings name: a lane for each push exporter, the page, the event processors.

One that cannot be built is named in one line and left out; the others run.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry._logs import LoggerProvider as ApiLoggerProvider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    MetricExporter,
    MetricReader,
    MetricsData,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from otel_exporter_ndjson import (
    NdjsonError,
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    UnsafeArchiveError,
)
from otel_exporter_ndjson.sealkey import read_key
from otel_exporter_ndjson.settings import OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE
from otel_exporter_prometheus.merge import Rule
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.service import Service
from otel_exporter_prometheus.service_page import ServicePage
from otel_metrics import events, instruments
from otel_metrics.autoconfig.settings import Settings
from otel_metrics.autoconfig.stores import forget, openers
from otel_metrics.errors import ConfigurationError
from otel_metrics.pipeline.delivery import FlushResult, MetricSender, Verdict
from otel_metrics.pipeline.event_lane import EventLane
from otel_metrics.pipeline.exemplars import with_times
from otel_metrics.pipeline.lanes import DeltaLane, MetricLane
from otel_metrics.pipeline.logs import (
    ArchiveProcessor,
    LaneProcessor,
    StoreProcessor,
    make_provider,
)
from otel_metrics.pipeline.otlp import OtlpLogExporter, OtlpMetricExporter
from otel_metrics.pipeline.reader import BoundedReader
from otel_metrics.pipeline.senders import SdkSender

__all__ = ["Exporters", "build"]

STALLED_AFTER_LEAST_S: Final = 15.0
"""However short the interval, a pipeline is not called stalled before."""

_logger = logging.getLogger("otel_metrics.autoconfig")


@dataclass(slots=True, kw_only=True)
class Exporters:
    """Everything that metrics and events go to.

    Attributes:
        lanes: the push exporters of metrics, the archive's first.
        archive: the archive's metric exporter, where there is one.
        event_archive: its event exporter.
        stores: what hands events to files and databases of domains.
        page: the Prometheus page, where there is one or routes have asked for it.
        failed: what was asked for and could not be built, with the reason.
    """

    settings: Settings
    logger_provider: LoggerProvider
    lanes: list[MetricLane] = field(default_factory=list)
    archive: NdjsonMetricExporter | None = None
    event_archive: NdjsonLogRecordExporter | None = None
    event_lane: EventLane | None = None
    page: ServicePage | None = None
    processor: ArchiveProcessor | None = None
    stores: list[StoreProcessor] = field(default_factory=list)
    service_log_handler: logging.Handler | None = None
    failed: dict[str, str] = field(default_factory=dict)

    def detach(self) -> None:
        """Take back what was attached to the service's loggers."""
        if self.service_log_handler is not None:
            logging.getLogger().removeHandler(self.service_log_handler)
        events.reset()
        forget()

    def bind_events(self) -> None:
        """Let events go where the settings say."""
        if self.event_archive is not None:
            self.processor = ArchiveProcessor(self.event_archive)
        for processor in self._processors():
            self.logger_provider.add_log_record_processor(processor)
            events.bind(self.logger_provider, limited=False)
        if self.event_lane is not None:
            self.event_lane.start()

    def _processors(self) -> list[LogRecordProcessor]:
        """Return where events go: the archive first."""
        found: list[LogRecordProcessor] = []
        if self.processor is not None:
            found.append(self.processor)
        found += self.stores
        if self.event_lane is not None:
            found.append(LaneProcessor(self.event_lane))
        if "console" in self.settings.logs_exporters:
            found.append(SimpleLogRecordProcessor(ConsoleLogRecordExporter()))
        return found

    def join_logger_provider(self, provider: ApiLoggerProvider) -> None:
        """Send events to a provider of the service's, and so to everything that it exports to."""
        if isinstance(provider, LoggerProvider):
            for processor in self._processors():
                provider.add_log_record_processor(processor)
        events.bind(provider)

    def serve(self, collect: Callable[[], MetricsData | None], service: Service) -> None:
        """Show this process on the service's page, where one is asked for."""
        if "prometheus" not in self.settings.metrics_exporters:
            return
        self.page = page = self._make_page(collect, service)
        try:
            page.start()
        except Exception as error:  # noqa: BLE001  # a port that is taken must not stop the service
            self._leave_out("prometheus", error)

    @property
    def stalled_after_s(self) -> float:
        """How old the last collection may be until telemetry is unwell."""
        return max(STALLED_AFTER_LEAST_S, 2 * self.settings.interval_s)

    def lend_page(self, collect: Callable[[], MetricsData | None], service: Service) -> Page:
        """Return the page for routes of the service's own, where need be one without a port."""
        if self.page is None:
            self.page = self._make_page(collect, service, listen=False)
            self.page.start()
        return self.page.page

    def _make_page(
        self,
        collect: Callable[[], MetricsData | None],
        service: Service,
        *,
        listen: bool = True,
    ) -> ServicePage:
        return ServicePage(
            lambda: _timed(collect()),
            self.settings.prometheus,
            service,
            listen=listen,
            rules=_rules(),
            timed=instruments.is_set,
            stalled_after_s=self.stalled_after_s,
        )

    def judged(self, result: FlushResult, deadline: float) -> FlushResult:
        """Add what became of events to the verdicts on metrics, by `deadline`."""
        verdicts = dict(result)
        lost = None if self.processor is None else self.processor.take_lost()
        if lost is not None and verdicts["ndjson"].ok:
            verdicts["ndjson"] = Verdict("failed", lost)
        for processor in self.stores:
            verdicts[processor.store.name] = processor.judge(deadline)
        if self.event_lane is not None:
            verdicts[self.event_lane.name] = self.event_lane.wait(deadline)
        for name, reason in self.failed.items():
            if name != "prometheus":
                verdicts[name] = Verdict("failed", reason)
        return FlushResult(verdicts)

    def after_fork(self) -> None:
        """Begin anew in a forked child: own segments, own numbers on the page that is shared."""
        if self.page is not None:
            self.page.after_fork()
        for processor in self.stores:
            processor.after_fork()
        if self.event_lane is not None:
            self.event_lane.after_fork()
            self.event_lane.start()

    def start_page_in_child(self) -> None:
        """Let a forked child show itself on the page that it shares with its parent."""
        if self.page is not None:
            with contextlib.suppress(Exception):  # the parent has said what is wrong
                self.page.start()

    def finish(self, deadline: float) -> None:
        """Say until when (monotonic clock) stores may write what waits once they are closed."""
        for processor in self.stores:
            processor.close_by = deadline

    def close(self, final: MetricsData | None) -> None:
        """Close what no lane closes: the event archive and the page.

        Args:
            final: the metrics of this process's end, for the page of its other processes.
        """
        if self.page is not None:  # first: to publish takes less than to seal
            self.page.stop(_timed(final))
        for processor in self.stores:
            processor.end()
        self.logger_provider.shutdown()

    def _leave_out(self, name: str, error: Exception) -> None:
        self.failed[name] = str(error)
        _logger.error("exporter %s: not started: %s", name, error)


def build(settings: Settings, made_of: Resource, *, given: Collection[str]) -> Exporters:
    """Build what `settings` name.

    Args:
        made_of: the resource of events.
        given: variables that were arguments: what is wrong with these raises.

    Raises:
        ConfigurationError: an exporter refuses an argument.
    """
    built = Exporters(settings=settings, logger_provider=make_provider(made_of))
    for name in sorted(settings.metrics_exporters, key=lambda name: name != "ndjson"):
        try:
            _build_metrics(built, name, made_of, given=given)
        except Exception as error:  # any exporter's own reasons
            if isinstance(error, ConfigurationError):
                raise
            if isinstance(error, ValueError) and any(name.upper() in key for key in given):
                raise ConfigurationError(str(error)) from error
            built._leave_out(name, error)
    service = str(made_of.attributes.get(SERVICE_NAME) or "") or None
    for name, make in openers(settings, service):
        try:
            built.stores.append(StoreProcessor(make()))
        except Exception as error:  # noqa: BLE001  # a disk's trouble must not stop the service
            built._leave_out(name, error)
    if "otlp" in settings.logs_exporters:
        built.event_lane = EventLane(
            "otlp_logs",
            OtlpLogExporter.from_settings(settings.otlp_logs),
            timeout_s=settings.events_timeout_s,
            queue_max=settings.events_queue_max,
            batch_max=settings.events_batch_max,
            delay_s=settings.events_delay_s,
        )
    return built


def _build_metrics(
    built: Exporters, name: str, made_of: Resource, *, given: Collection[str]
) -> None:
    settings = built.settings
    timeout_s = settings.export_timeout_s
    if name == "ndjson":
        # Named now, so that what a killed process left is recovered at start.
        service = str(made_of.attributes.get(SERVICE_NAME) or "") or None
        _check_key(settings.ndjson.seal_key_file, given=given)
        built.archive = NdjsonMetricExporter(
            settings=settings.ndjson,
            service=service,
            on_sync=_timer("metrics"),
        )
        built.event_archive = NdjsonLogRecordExporter(
            settings=settings.ndjson,
            service=service,
            on_sync=_timer("events"),
        )
        built.lanes.append(MetricLane(name, SdkSender(built.archive), timeout_s=timeout_s))
    elif name == "otlp":
        otlp = OtlpMetricExporter.from_settings(settings.otlp_metrics)
        built.lanes.append(_lane(name, otlp, otlp, timeout_s))
    elif name == "console":
        built.lanes.append(
            MetricLane(name, SdkSender(ConsoleMetricExporter()), timeout_s=timeout_s)
        )
    elif name != "prometheus":
        exporter = _load(name)
        built.lanes.append(_lane(name, SdkSender(exporter), exporter, timeout_s))


def _check_key(path: str | None, *, given: Collection[str]) -> None:
    """Keep the archive closed where its seals could not be signed, and say so once.

    Raises:
        ConfigurationError: the key was an argument.
        UnsafeArchiveError: it was not.
    """
    if path is None:
        return
    try:
        read_key(path)
    except (OSError, NdjsonError) as error:
        reason = str(error)
        if isinstance(error, OSError):
            reason = f"{OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE}={path}: {error.strerror}"
        if OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE in given:
            raise ConfigurationError(reason) from error
        raise UnsafeArchiveError(reason) from error


def _timed(collected: MetricsData | None) -> MetricsData | None:
    """Return a collection that says when each gauge was set, for the page of several processes."""
    return collected and with_times(collected, instruments.gauge_times())


def _rules() -> dict[str, Rule]:
    """Return how the catalog merges gauges of several processes, by metric."""
    return {
        name: entry.merge for name, entry in instruments.catalog().metrics.items() if entry.merge
    }


def _timer(signal: str) -> Callable[[float], None]:
    """Return what records an fsync's duration."""
    histogram = instruments.metric("archive.sync.duration")
    attributes = {"signal": signal}
    return lambda seconds: histogram.record(seconds, attributes)


def _load(name: str) -> MetricExporter:
    point = next(iter(entry_points(group="opentelemetry_metrics_exporter", name=name)))
    made = point.load()()
    if isinstance(made, MetricReader):
        raise TypeError(f"{name} is a metric reader; give it to a MeterProvider of your own")
    assert isinstance(made, MetricExporter)
    return made


def _lane(name: str, sender: MetricSender, prefers: object, timeout_s: float) -> MetricLane:
    """Return a lane of the hub's reader, or of its own where the exporter prefers another."""
    # The SDK keeps what an exporter prefers in attributes that begin with an underscore.
    temporality: Mapping[Any, Any] = getattr(prefers, "_preferred_temporality", None) or {}
    aggregation: Mapping[Any, Any] = getattr(prefers, "_preferred_aggregation", None) or {}
    if AggregationTemporality.DELTA not in temporality.values() and not aggregation:
        return MetricLane(name, sender, timeout_s=timeout_s)

    def make_reader() -> BoundedReader:
        return BoundedReader(
            preferred_temporality=temporality or None, preferred_aggregation=aggregation or None
        )

    return DeltaLane(name, sender, timeout_s=timeout_s, make_reader=make_reader)

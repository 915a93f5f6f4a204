"""From settings to a running pipeline.

What fails while starting is said in one line and left out; the rest runs. Only a bad argument
raises, since the caller wrote it.
"""

import difflib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider as ApiMeterProvider

from otel_exporter_prometheus import access, naming
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.service import Service, service_of
from otel_metrics import budgets, events, instruments, rejections, tokens
from otel_metrics.autoconfig import declarative, self_metrics, spans
from otel_metrics.autoconfig.environment import VARIABLES, keyword
from otel_metrics.autoconfig.exporters import Exporters, build
from otel_metrics.autoconfig.providers import join_meter_provider, resource, resource_of
from otel_metrics.autoconfig.service_logs import archive_service_logs
from otel_metrics.autoconfig.service_telemetry import ServiceTelemetry
from otel_metrics.autoconfig.settings import Problem, Settings, from_environ
from otel_metrics.catalog.loader import builtin, load
from otel_metrics.errors import CatalogError, ConfigurationError
from otel_metrics.host import recorder as host
from otel_metrics.pipeline import lifecycle, loading
from otel_metrics.pipeline.delivery import FlushResult
from otel_metrics.pipeline.election import Election
from otel_metrics.pipeline.hub import Hub
from otel_metrics.pipeline.quiet import suppressed
from otel_metrics.skills.follower import Follower
from otel_metrics.tokens import pricing

__all__ = ["Running", "as_variables", "assemble"]

FORK_WAIT_S: Final = 0.5
"""A fork waits at most this long for our threads to come to rest."""

_logger = logging.getLogger("otel_metrics.autoconfig")


@dataclass(frozen=True, slots=True)
class Running:
    """The parts that are at work."""

    hub: Hub
    exporters: Exporters
    service: Service
    host_office: Election
    exit_timeout_s: float
    skills_office: Election
    service_telemetry: ServiceTelemetry
    follower: Follower | None = None
    parked: threading.local = field(default_factory=threading.local)

    @property
    def metrics_port(self) -> int | None:
        """The port of the metrics page, None where there is none."""
        return None if self.exporters.page is None else self.exporters.page.port

    def page(self) -> Page:
        """Return the metrics page, for who serves it beside a port of its own or without one."""
        return self.exporters.lend_page(self.hub.collect, self.service)

    @property
    def stalled_after_s(self) -> float:
        """How old the last collection may be until telemetry is unwell."""
        return self.exporters.stalled_after_s

    def begin(self) -> None:
        """Start what was put together. The hooks come first: in a child without them a lock of the
        SDK's would stay locked that a thread of ours held."""
        lifecycle.install(
            lifecycle.Hooks(
                exit=self.stop,
                exit_timeout_s=self.exit_timeout_s,
                before_fork=self.before_fork,
                after_fork_in_parent=self.after_fork_in_parent,
                after_fork_in_child=self.after_fork_in_child,
            )
        )
        self.hub.start()
        threading.Thread(target=_warm, name="otel-metrics-prices", daemon=True).start()
        if self.follower is not None:
            self.follower.start()
        self.service_telemetry.begin_if_wanted()
        self.exporters.serve(self.hub.collect, self.service)

    def flush(self, timeout_s: float) -> FlushResult:
        """Collect and say what became of it, and of the events."""
        deadline = time.monotonic() + timeout_s
        return self.exporters.judged(self.hub.flush(timeout_s), deadline)

    def names(self) -> list[str]:
        """Return what a flush answers for."""
        lanes = [lane.name for lane in self.hub.lanes]
        lanes += [processor.store.name for processor in self.exporters.stores]
        event_lane = self.exporters.event_lane
        return lanes if event_lane is None else [*lanes, event_lane.name]

    def shutdown(self, timeout_s: float | None) -> None:
        """Stop, and take back what was attached to the service's providers and loggers."""
        self.stop(timeout_s)
        lifecycle.uninstall()
        self.hub.leave()
        self.service_telemetry.end()
        self.host_office.resign()
        self.skills_office.resign()
        self.exporters.detach()

    def stop(self, timeout_s: float | None = None) -> None:
        """Export a last time and end, within `timeout_s` (default: the exit timeout).

        Several threads may at once: each waits for the end.
        """
        budget_s = self.exit_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + budget_s
        if self.follower is not None:  # first: what it has taken is exported
            self.follower.stop(deadline)
        self.service_telemetry.stop(deadline)
        events_lane = self.exporters.event_lane
        if events_lane is not None:
            events_lane.finish(deadline)
        self.exporters.finish(deadline)
        self.hub.stop(budget_s)
        if events_lane is not None:
            events_lane.join(deadline)

    def before_fork(self) -> None:
        """Park our threads, as far as they can be within `FORK_WAIT_S`, and not while they import.

        What was taken is kept for this thread alone: several may fork at once.
        """
        importing = loading.lock()
        self.parked.locks = [importing] if importing.acquire(timeout=loading.LOAD_WAIT_S) else []
        deadline = time.monotonic() + FORK_WAIT_S
        page = self.exporters.page
        # The page first: while it collects it waits for the hub.
        locks = [*(page.at_work if page is not None else ()), self.hub.at_work]
        locks += [self.follower.at_work] if self.follower is not None else []
        locks += self.service_telemetry.at_work()
        locks += [*(lane.at_work for lane in self.hub.lanes)]
        if self.exporters.event_lane is not None:
            locks.append(self.exporters.event_lane.at_work)
        self.parked.locks += [
            lock for lock in locks if lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        ]

    def after_fork_in_parent(self) -> None:
        """Let them go on."""
        for lock in self.parked.locks:
            lock.release()
        self.parked.locks = []

    def after_fork_in_child(self) -> None:
        """Begin anew: nothing of the parent's counts, files, threads or port."""
        loading.after_fork()
        instruments.reset_after_fork()
        self.host_office.after_fork()
        self.skills_office.after_fork()
        self.exporters.after_fork()
        self.hub.after_fork_in_child()
        if self.follower is not None:
            self.follower.after_fork()
        self.service_telemetry.after_fork()
        self.exporters.start_page_in_child()


def assemble(
    given: Mapping[str, str],
    meter_provider: ApiMeterProvider | None,
    logger_provider: LoggerProvider | None,
) -> Running | None:
    """Settle what holds and put it together; None where `OTEL_SDK_DISABLED` says so.

    Raises:
        ConfigurationError, CatalogError: something in `given`, the arguments, is wrong.
    """
    settings = _settle(given)
    if settings.disabled:
        _use_budgets(settings)  # a limit holds whether it is measured or not
        return None
    return _assemble(settings, given, meter_provider, logger_provider)


def as_variables(overrides: Mapping[str, object]) -> dict[str, str]:
    """Return keywords of `configure` as the variables that they stand for.

    Raises:
        TypeError: a keyword that is none.
    """
    known = {
        keyword(variable.name): variable.name
        for variable in VARIABLES
        if variable.name != "OTEL_TRACES_EXPORTER"  # for the distro: `configure` starts no traces
    }
    given: dict[str, str] = {}
    for name, value in overrides.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"configure() has no keyword {name!r}{hint}")
        if value is not None:
            given[known[name]] = _as_text(value)
    return given


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return f"{value / timedelta(milliseconds=1):f}"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ",".join(str(item) for item in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _settle(given: Mapping[str, str]) -> Settings:
    """Return the settings in force: arguments over the configuration file or the environment."""
    environ: Mapping[str, str] = os.environ
    file = given.get("OTEL_CONFIG_FILE") or environ.get("OTEL_CONFIG_FILE")
    if file:
        environ = _from_file(file, must_hold="OTEL_CONFIG_FILE" in given)
    installed = [point.name for point in entry_points(group="opentelemetry_metrics_exporter")]
    settings, problems = from_environ({**environ, **given}, installed=installed)
    for problem in problems:
        _complain(problem, given)
    unsafe = access.problem(settings.prometheus)
    if unsafe is not None and any(name.startswith("OTEL_EXPORTER_PROMETHEUS_") for name in given):
        raise ConfigurationError(unsafe)
    return settings


def _from_file(file: str, *, must_hold: bool) -> Mapping[str, str]:
    """Let upstream start what a configuration file says beside metrics; return what is ours."""
    try:
        configuration = declarative.read(file)
        variables = declarative.variables(configuration, os.environ)
        declarative.apply(configuration)
    except Exception as error:  # upstream's loader and factories raise what they like
        message = f"OTEL_CONFIG_FILE={file}: {error}"
        if must_hold:
            raise ConfigurationError(message) from error
        _logger.warning("%s; the other variables are used instead", message)
        return os.environ
    return variables


def _complain(problem: Problem, given: Mapping[str, str]) -> None:
    if problem.variable in given:
        accepted, _, _ = problem.message.rpartition(";")  # nothing is used instead: it raises
        said = accepted or problem.message
        raise ConfigurationError(f"{keyword(problem.variable)}={problem.value}: {said}")
    line = f"{problem.variable}={problem.value}: {problem.message}"
    _logger.warning("%s", line.encode("unicode_escape").decode())  # a value may hold anything


def _assemble(
    settings: Settings,
    given: Mapping[str, str],
    meter_provider: ApiMeterProvider | None,
    logger_provider: LoggerProvider | None,
) -> Running:
    _use_catalog(settings, must_hold="OTEL_PYTHON_METRICS_CATALOG" in given)
    rejections.set_strict(strict=settings.strict)
    events.set_content(settings.event_content)
    tokens.configure(older_names=settings.older_genai_names)
    made_of = resource(settings.resource_attributes)
    provider = join_meter_provider(meter_provider, made_of, settings.exemplar_filter)
    made_of = resource_of(provider, made_of)
    exporters = build(settings, made_of, given=given)
    hub = Hub(
        provider,
        exporters.lanes,
        interval_s=settings.interval_s,
        on_stop=exporters.close,
        observed=[
            name
            for name, m in builtin().metrics.items()
            if m.domain in ("host", "pipeline")
            or (m.domain in ("budgets", "remediation") and m.observable)
        ],
    )
    service = service_of(made_of.attributes)
    skills_office = Election(service, "skills")
    running = Running(
        hub,
        exporters,
        service,
        Election(service, "host"),
        settings.exit_timeout_s,
        skills_office,
        ServiceTelemetry(
            settings,
            made_of,
            service=service.name,
            office=Election(service, "service"),
            collect=hub.collect,
        ),
        _follower(settings, service, skills_office),
    )
    instruments.bind(provider)
    exporters.bind_events()
    if "ndjson" in settings.logs_exporters and exporters.processor is not None:
        exporters.service_log_handler = archive_service_logs(exporters.processor, made_of)
    self_metrics.observe_pipeline(hub, exporters)
    _use_budgets(settings)
    _guarded(
        "host metrics", lambda: host.start(settings.host_metrics, elected=running.host_office.won)
    )
    if settings.genai_spans:
        _guarded("GenAI spans", lambda: spans.attach(made_of))
    if logger_provider is not None:
        exporters.join_logger_provider(logger_provider)
    return running


def _follower(settings: Settings, service: Service, office: Election) -> Follower | None:
    if settings.skills_dir is None:
        return None
    return Follower(
        settings.skills_dir,
        name=service.name,
        namespace=service.namespace,
        elected=office.won,
    )


def _warm() -> None:
    """Load the price table on a thread of its own: no collection, above all the last, waits for it.

    A fork does, or the child would inherit a half-loaded module whose import lock nobody releases.
    """
    with suppressed(), loading.lock():
        _guarded("prices", pricing.warm)


def _use_catalog(settings: Settings, *, must_hold: bool) -> None:
    if settings.catalog is None:
        return
    try:
        catalog = load(
            settings.catalog, into=builtin(), name_of=naming.metric_name, problem_of=naming.problem
        )
        instruments.use_catalog(catalog)
    except (CatalogError, OSError) as error:
        if must_hold:
            raise
        _logger.warning(
            "OTEL_PYTHON_METRICS_CATALOG=%s: %s; the built-in catalog alone is used",
            settings.catalog,
            error,
        )


def _use_budgets(settings: Settings) -> None:
    path = settings.budgets_db
    if path is not None:
        _guarded("budgets", lambda: budgets.use(path))


def _guarded(what: str, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # a broken part must not stop the service
        _logger.warning("%s: not started", what, exc_info=True)

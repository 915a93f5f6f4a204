"""`configure`: from settings to a running pipeline, in one call that any of the ways in makes.

What fails while starting is said in one line and left out; the rest runs. Only a bad argument
raises, since the caller wrote it.

Threads: `configure` runs on the caller's thread, once; `_lock` guards the one `Telemetry`.
"""

import difflib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import entry_points

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider as ApiMeterProvider

from otel_exporter_prometheus.naming import metric_name
from otel_metrics import events, instruments, rejections, tokens
from otel_metrics.autoconfig import declarative, self_metrics, spans
from otel_metrics.autoconfig.environment import VARIABLES, keyword
from otel_metrics.autoconfig.exporters import Exporters, build
from otel_metrics.autoconfig.providers import join_meter_provider, resource
from otel_metrics.autoconfig.settings import Problem, Settings, from_environ
from otel_metrics.catalog.loader import builtin, load
from otel_metrics.errors import CatalogError, ConfigurationError
from otel_metrics.host import recorder as host
from otel_metrics.pipeline import lifecycle
from otel_metrics.pipeline.delivery import FlushResult
from otel_metrics.pipeline.hub import Hub
from otel_metrics.tokens import pricing

__all__ = ["Telemetry", "configure"]

FLUSH_TIMEOUT_S = 10.0
"""What `Telemetry.flush` waits where nothing is said."""

_logger = logging.getLogger("otel_metrics.autoconfig")
_lock = threading.RLock()
_telemetry: "Telemetry | None" = None


class Telemetry:
    """What `configure()` started.

    Example:
        >>> import otel_metrics
        >>> telemetry = otel_metrics.configure(service_name="shop")
        >>> telemetry.flush(timeout=5).ok
        True
    """

    def __init__(self, settings: Settings, running: "_Running | None") -> None:
        self.settings = settings
        self._running = running

    @property
    def metrics_port(self) -> int | None:
        """The port of the metrics page, None where there is none."""
        page = self._running.exporters.page if self._running else None
        return page.port if page else None

    def flush(self, timeout: float = FLUSH_TIMEOUT_S) -> FlushResult:
        """Collect now, and say for each push exporter whether everything so far was delivered.

        Args:
            timeout: seconds; what is under way then is `timed_out`.
        """
        if self._running is None:
            return FlushResult({})
        return self._running.flush(timeout)

    def shutdown(self, timeout: float | None = None) -> None:
        """Export a last time and end, within `timeout` seconds (default: the exit timeout)."""
        global _telemetry
        with _lock:
            running, self._running = self._running, None
            if _telemetry is self:
                _telemetry = None
        if running is not None:
            running.stop(self.settings.exit_timeout_s if timeout is None else timeout)


@dataclass(frozen=True, slots=True)
class _Running:
    """The parts that are at work."""

    hub: Hub
    exporters: Exporters

    def flush(self, timeout_s: float) -> FlushResult:
        return self.exporters.judged(self.hub.flush(timeout_s), timeout_s)

    def stop(self, timeout_s: float) -> None:
        lifecycle.uninstall()
        self.hub.stop(timeout_s)

    def after_fork_in_child(self) -> None:
        instruments.reset_after_fork()
        self.exporters.after_fork()
        self.hub.after_fork_in_child()


def configure(
    *,
    meter_provider: ApiMeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    **overrides: object,
) -> Telemetry:
    """Start telemetry for this process; a second call returns what the first one started.

    With nothing set, metrics and events are archived in `./telemetry` and served to Prometheus on
    `localhost:9464`. Every environment variable is also a keyword here: in lower case, without
    `OTEL_`, `EXPORTER_` and `PYTHON_METRICS_` (`service_name`, `ndjson_path`, `prometheus_port`,
    `exit_timeout`, …); it means what the variable means and wins over it.

    Args:
        meter_provider: collect from this SDK provider, and record into it, instead of the global.
        logger_provider: send events to this provider too, on purpose.
        overrides: variables by keyword. Lists may be sequences, durations `timedelta`.

    Raises:
        TypeError: a keyword that is none.
        ConfigurationError: a keyword's value is not accepted, or it names a catalog that does not
            hold. What comes from the environment warns and falls back instead.

    Example:
        >>> import otel_metrics
        >>> otel_metrics.configure(service_name="shop", metrics_exporter=["ndjson"])
    """
    global _telemetry
    given = _as_variables(overrides)
    with _lock:
        if _telemetry is None:
            settings = _settle(given)
            running = None if settings.disabled else _start(settings, given, meter_provider)
            _telemetry = Telemetry(settings, running)
            if running is not None and logger_provider is not None:
                running.exporters.join_logger_provider(logger_provider)
        return _telemetry


def _as_variables(overrides: Mapping[str, object]) -> dict[str, str]:
    known = {keyword(variable.name): variable.name for variable in VARIABLES}
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
    message = f"{problem.variable}={problem.value}: {problem.message}"
    if problem.variable in given:
        raise ConfigurationError(message)
    _logger.warning("%s", message)


def _start(
    settings: Settings, given: Mapping[str, str], meter_provider: ApiMeterProvider | None
) -> _Running:
    _use_catalog(settings, must_hold="OTEL_PYTHON_METRICS_CATALOG" in given)
    rejections.set_strict(strict=settings.strict)
    events.set_content(settings.event_content)
    tokens.configure(older_names=settings.older_genai_names)
    made_of = resource(settings.resource_attributes)
    provider = join_meter_provider(meter_provider, made_of, settings.exemplar_filter)
    exporters = build(settings, made_of, given=given)
    hub = Hub(
        provider,
        exporters.lanes,
        interval_s=settings.interval_s,
        on_start=pricing.warm,
        on_stop=exporters.close,
    )
    running = _Running(hub, exporters)
    instruments.bind(provider)
    exporters.bind_events()
    self_metrics.observe_pipeline(hub, exporters)
    _guarded("host metrics", lambda: host.start(settings.host_metrics))
    if settings.genai_spans:
        _guarded("GenAI spans", lambda: spans.attach(made_of))
    hub.start()
    exporters.serve(hub.collect)
    lifecycle.install(
        lifecycle.Hooks(
            exit=lambda: running.hub.stop(settings.exit_timeout_s),
            before_fork=hub.before_fork,
            after_fork_in_parent=hub.after_fork_in_parent,
            after_fork_in_child=running.after_fork_in_child,
        )
    )
    return running


def _use_catalog(settings: Settings, *, must_hold: bool) -> None:
    if settings.catalog is None:
        return
    try:
        instruments.use_catalog(load(settings.catalog, into=builtin(), name_of=metric_name))
    except (CatalogError, OSError) as error:
        if must_hold:
            raise
        _logger.warning(
            "OTEL_PYTHON_METRICS_CATALOG=%s: %s; the built-in catalog alone is used",
            settings.catalog,
            error,
        )


def _guarded(what: str, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # a broken part must not stop the service
        _logger.warning("%s: not started", what, exc_info=True)

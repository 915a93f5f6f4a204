"""`configure`: starts telemetry for this process in one call, which any of the ways in makes.

Light to import: what it takes to start (exporters, the catalog's reader, OTLP) is in `assembly.py`,
which is loaded by the first call.

Threads: `configure` runs on the caller's thread, once; `_lock` guards the one `Telemetry`
and what is wanted of it.
"""

import logging
import os
import threading
from typing import TYPE_CHECKING

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider

from otel_metrics import instruments
from otel_metrics.pipeline.delivery import FlushResult, Verdict

if TYPE_CHECKING:
    from otel_exporter_prometheus.page import Page
    from otel_metrics.autoconfig.assembly import Running

__all__ = ["Telemetry", "configure", "current", "want_page"]

FLUSH_TIMEOUT_S = 10.0
"""What `Telemetry.flush` waits where nothing is said."""

_logger = logging.getLogger("otel_metrics.autoconfig")
_lock = threading.RLock()
_telemetry: "Telemetry | None" = None
_page_wanted = False


class Telemetry:
    """What `configure()` started.

    Example:
        >>> import otel_metrics
        >>> telemetry = otel_metrics.configure(service_name="shop")
        >>> telemetry.flush(timeout=5).ok
        True
    """

    def __init__(self, running: "Running | None") -> None:
        self._running = running
        self._names = [] if running is None else running.names()

    @property
    def metrics_port(self) -> int | None:
        """The port of the metrics page, None where there is none."""
        return None if self._running is None else self._running.metrics_port

    def page(self) -> "Page | None":
        """Return the metrics page, for routes of a web service; None once telemetry has ended."""
        with _lock:
            return None if self._running is None else self._running.page()

    @property
    def stalled_after_s(self) -> float:
        """How old the last collection may be until telemetry is unwell."""
        return 0.0 if self._running is None else self._running.stalled_after_s

    def flush(self, timeout: float = FLUSH_TIMEOUT_S) -> FlushResult:
        """Collect now, and say for each push exporter whether everything so far was delivered.

        Args:
            timeout: seconds; what is under way then is `timed_out`.
        """
        running = self._running
        if running is None:
            return FlushResult(dict.fromkeys(self._names, Verdict("failed", "shut down")))
        return running.flush(min(timeout, threading.TIMEOUT_MAX / 2))

    def shutdown(self, timeout: float | None = None) -> None:
        """Export a last time and end, within `timeout` seconds (default: the exit timeout)."""
        global _telemetry
        with _lock:
            running, self._running = self._running, None
            if _telemetry is self:
                _telemetry = None
        if running is not None:
            running.shutdown(None if timeout is None else min(timeout, threading.TIMEOUT_MAX / 2))


def configure(
    *,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    **overrides: object,
) -> Telemetry:
    """Start telemetry for this process; a second call returns what the first one started, and says
    in the log that its keywords change nothing.

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
    # Loads every exporter: not before the call that needs it.
    from otel_metrics.autoconfig import assembly

    global _telemetry
    given = assembly.as_variables(overrides)
    with _lock:
        if _telemetry is None:
            running = assembly.assemble(given, meter_provider, logger_provider)
            _telemetry = Telemetry(running)  # before it begins: a child forked from then on has it
            if running is not None:
                running.begin()
            if _page_wanted:
                _telemetry.page()
        elif overrides:
            said = ", ".join(f"{name}={value!r}" for name, value in overrides.items())
            _logger.warning("telemetry runs already: configure(%s) changes nothing", said)
        return _telemetry


def want_page() -> None:
    """Let this process show itself on its service's page, also where that has no port: from the
    start, since what other processes are asked must hold its numbers too."""
    global _page_wanted
    with _lock:
        _page_wanted = True
        if _telemetry is not None:
            _telemetry.page()


def current() -> Telemetry | None:
    """Return what `configure()` has started in this process, None before and after."""
    return _telemetry


def _renew_locks() -> None:
    """Give a forked child locks that no thread of its parent holds: one may be in `configure`,
    and then telemetry has no fork hooks yet."""
    global _lock
    _lock = threading.RLock()
    if _telemetry is None:
        instruments.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)

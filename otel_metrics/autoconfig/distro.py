"""The entry points of `opentelemetry-instrument`: a distro and a configurator that step aside
unless they are named.

Being installed changes nothing: the first distro and configurator found would win, and the
service's own exporters would never start.
"""

import difflib
import logging
import os
from importlib.metadata import entry_points
from typing import Any, Literal

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # untyped
from opentelemetry.sdk._configuration import (
    _get_exporter_names,
    _get_id_generator,
    _get_sampler,
    _import_exporters,
    _import_id_generator,
    _import_sampler,
    _init_logging,
    _init_tracing,
    _OTelSDKConfigurator,
)

from otel_metrics.autoconfig.providers import resource
from otel_metrics.autoconfig.startup import configure

__all__ = ["Configurator", "Distro", "distro"]

_logger = logging.getLogger("otel_metrics.autoconfig")

NAME = "otel_metrics"
"""What `OTEL_PYTHON_DISTRO` and `OTEL_PYTHON_CONFIGURATOR` must say."""


class Distro(BaseDistro):  # type: ignore[misc]  # its base is untyped
    """Sets no variable: what runs is what the user named."""

    def _configure(self, **kwargs: Any) -> None:
        """Do nothing."""


def distro() -> BaseDistro | None:
    """Return the distro when it is named; else nothing, and the next one found is taken."""
    return Distro() if os.environ.get("OTEL_PYTHON_DISTRO") == NAME else None


class Configurator:
    """Starts this bundle when it is named, and hands the call on when it is not."""

    def configure(self, **kwargs: Any) -> None:
        """Configure the SDK.

        Args:
            kwargs: what `opentelemetry-instrument` says, handed on.
        """
        if os.environ.get("OTEL_PYTHON_CONFIGURATOR") == NAME:
            try:
                _start_other_signals(**kwargs)
            except Exception as error:  # noqa: BLE001  # upstream's factories raise what they like
                _logger.warning("traces and logs are not started: %s", error)
            configure()
        else:
            _next_configurator().configure(**kwargs)


def _next_configurator() -> Any:
    """Return the configurator that would run were this package not installed."""
    for point in entry_points(group="opentelemetry_configurator"):
        if point.name != NAME:
            return point.load()()
    return _OTelSDKConfigurator()  # type: ignore[no-untyped-call]  # as the SDK declares it


def _start_other_signals(*, auto_instrumentation_version: str | None = None, **_: Any) -> None:
    """Start traces and logs as `OTEL_TRACES_EXPORTER` and `OTEL_LOGS_EXPORTER` name them.

    `ndjson` among the logs is ours: `configure` archives the service's log records itself.
    """
    if os.environ.get("OTEL_CONFIG_FILE"):
        return  # the file says it all, and `configure` applies it
    traces_named = _installed_names("traces")
    logs_named = [name for name in _installed_names("logs") if name != "ndjson"]
    traces, _metrics, logs = _import_exporters(traces_named, [], logs_named)
    version = auto_instrumentation_version
    made_of = resource({"telemetry.auto.version": version} if version else {})
    if traces:
        sampler_name = _get_sampler()
        _init_tracing(
            exporters=traces,
            id_generator=_import_id_generator(_get_id_generator()),
            sampler=_import_sampler(sampler_name) if sampler_name else None,
            resource=made_of,
        )
    if logs:
        _init_logging(logs, made_of, setup_logging_handler=False)


def _installed_names(signal: Literal["traces", "logs"]) -> list[str]:
    """Return the exporters that are asked for and there; name the others in one line each."""
    known = {point.name for point in entry_points(group=f"opentelemetry_{signal}_exporter")}
    named = _get_exporter_names(signal)
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            variable = f"OTEL_{signal.upper()}_EXPORTER"
            message = "%s: no exporter is called %r%s; it is left out"
            _logger.warning(message, variable, name, hint)
    return [name for name in named if name in known]

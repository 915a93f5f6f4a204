"""Tries each exporter once, for `doctor`.

Writes no metric and starts no telemetry: a nameless file is made where the archive would be, the
page's port is bound and given back, the endpoint gets an empty request.
"""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME

import otel_exporter_prometheus.settings
from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.listeners import listen
from otel_metrics.autoconfig.archive_trial import try_archive
from otel_metrics.autoconfig.providers import resource
from otel_metrics.autoconfig.settings import Settings
from otel_metrics.pipeline.otlp import OtlpLogExporter, OtlpMetricExporter

__all__ = ["Trial", "try_exporters"]

TRIAL_TIMEOUT_S: Final = 3.0
"""What one exporter is given to answer."""
PAGE_BYTES_MAX: Final = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Whether one exporter works, and what was seen."""

    exporter: str
    ok: bool
    finding: str


def try_exporters(settings: Settings) -> list[Trial]:
    """Try each exporter that the settings name."""
    trials = [_try(name, settings) for name in settings.metrics_exporters]
    if "otlp" in settings.logs_exporters:
        trials.append(_try_otlp("otlp (events)", OtlpLogExporter.from_settings(settings.otlp_logs)))
    return trials


def _try(name: str, settings: Settings) -> Trial:
    if name == "ndjson":
        return _try_archive(settings)
    if name == "prometheus":
        return _try_page(settings.prometheus)
    if name == "otlp":
        return _try_otlp(name, OtlpMetricExporter.from_settings(settings.otlp_metrics))
    return Trial(exporter=name, ok=True, finding="not tried: it is not this bundle's")


def _try_archive(settings: Settings) -> Trial:
    service = str(resource(settings.resource_attributes).attributes.get(SERVICE_NAME) or "")
    ok, finding = try_archive(settings.ndjson, service)
    return Trial(exporter="ndjson", ok=ok, finding=finding)


def _try_page(settings: otel_exporter_prometheus.settings.Settings) -> Trial:
    if settings.refusal is not None:
        return Trial(exporter="prometheus", ok=False, finding=settings.refusal)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = f"{host}:{settings.port}"
    try:
        for listener in listen(settings):
            listener.close()
    except ListenError as error:
        service = _service_at(where)
        if service is None:
            return Trial(exporter="prometheus", ok=False, finding=str(error))
        finding = f"http://{where}/metrics answers: service {service}"
        return Trial(exporter="prometheus", ok=True, finding=finding)
    return Trial(exporter="prometheus", ok=True, finding=f"{where} is free to listen on")


def _service_at(where: str) -> str | None:
    """Return the service whose page answers there, None where no page of ours does."""
    request = urllib.request.Request(f"http://{where}/metrics")  # always http
    try:
        with urllib.request.urlopen(request, timeout=TRIAL_TIMEOUT_S) as response:  # noqa: S310
            page = response.read(PAGE_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, ValueError, urllib.error.URLError):
        return None
    for line in page.splitlines():
        if line.startswith("target_info{"):
            _, found, rest = line.partition('service_name="')
            return json.dumps(rest.partition('"')[0]) if found else None
    return None


def _try_otlp(name: str, exporter: OtlpMetricExporter | OtlpLogExporter) -> Trial:
    outcome = exporter.probe(TRIAL_TIMEOUT_S)
    exporter.shutdown(0)
    return Trial(
        exporter=name, ok=outcome.ok, finding=outcome.reason or "an empty request was taken"
    )

"""Tries each exporter once, for `doctor`.

Writes no metric and starts no telemetry: a nameless file is made where the archive would be, the
page's port is bound and given back, the endpoint gets an empty request.
"""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME

import otel_exporter_prometheus.settings
from otel_exporter_prometheus import access
from otel_exporter_prometheus.auth import REALM
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
    unsafe = access.problem(settings)
    if unsafe is not None:
        return Trial(exporter="prometheus", ok=False, finding=unsafe)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = f"{host}:{settings.port}"
    try:
        for listener in listen(settings):
            listener.close()
    except ListenError as error:
        url = f"{'https' if settings.tls_cert_file else 'http'}://{where}/metrics"
        answers = _page_at(url)
        if answers is None:
            return Trial(exporter="prometheus", ok=False, finding=str(error))
        finding = f"{url} answers: {answers}"
        return Trial(exporter="prometheus", ok=True, finding=finding)
    return Trial(exporter="prometheus", ok=True, finding=f"{where} is free to listen on")


def _page_at(url: str) -> str | None:
    """Return what page of ours answers there, None where none does."""
    request = urllib.request.Request(url)  # noqa: S310  # http or https
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing secret is sent
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=TRIAL_TIMEOUT_S, context=context
        ) as response:
            page = response.read(PAGE_BYTES_MAX).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        asks = error.code == 401 and REALM in error.headers.get("WWW-Authenticate", "")
        error.close()
        return "it asks for authentication" if asks else None
    except (OSError, ValueError):
        return None
    for line in page.splitlines():
        if line.startswith("target_info{"):
            _, found, rest = line.partition('service_name="')
            return "service " + json.dumps(rest.partition('"')[0]) if found else None
    return None


def _try_otlp(name: str, exporter: OtlpMetricExporter | OtlpLogExporter) -> Trial:
    outcome = exporter.probe(TRIAL_TIMEOUT_S)
    exporter.shutdown(0)
    return Trial(
        exporter=name, ok=outcome.ok, finding=outcome.reason or "an empty request was taken"
    )

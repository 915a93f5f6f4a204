"""What `doctor` finds: each variable in force with its source, and each exporter tried once.

Trying writes no metric and starts no telemetry: the archive's folder is written to and cleaned,
the page's port is bound and given back, the endpoint gets an empty request.
"""

import json
import os
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import otel_exporter_ndjson.settings
import otel_exporter_prometheus.settings
from otel_metrics.autoconfig.environment import VARIABLES, Variable
from otel_metrics.autoconfig.settings import Problem, Settings
from otel_metrics.pipeline.otlp import OtlpLogExporter, OtlpMetricExporter

__all__ = ["InForce", "Trial", "try_exporters", "variables_in_force"]

TRIAL_TIMEOUT_S: Final = 3.0
"""What one exporter is given to answer."""
SECRET_WORDS: Final = ("HEADERS", "TOKEN", "PASSWORD", "SECRET")
"""A variable whose name has one of these may hold a secret: its value is not shown."""
MASK: Final = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One variable: what holds, where that comes from, and what it does."""

    name: str
    value: str
    source: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Whether one exporter works, and what was seen."""

    exporter: str
    ok: bool
    finding: str


def variables_in_force(
    environ: Mapping[str, str], problems: Sequence[Problem], *, everything: bool
) -> list[InForce]:
    """Return the variables that are set, or all of them, each with the value in force."""
    wrong = {problem.variable: problem.message for problem in problems}
    known = {variable.name for variable in VARIABLES}
    rows = [
        _row(variable, environ.get(variable.name, "").strip(), wrong)
        for variable in VARIABLES
        if everything or environ.get(variable.name, "").strip()
    ]
    strange = [name for name in environ if name in wrong and name not in known]
    return rows + [
        InForce(name=name, value=environ[name], source="environment", effect=wrong[name])
        for name in sorted(strange)
    ]


def _row(variable: Variable, value: str, wrong: Mapping[str, str]) -> InForce:
    if not value:
        effect = variable.meaning
        return InForce(name=variable.name, value=variable.default, source="default", effect=effect)
    shown = MASK if any(word in variable.name for word in SECRET_WORDS) else value
    message = wrong.get(variable.name)
    return InForce(
        name=variable.name,
        value=shown,
        source="environment",
        effect=f"REFUSED: {message}" if message else variable.meaning,
    )


def try_exporters(settings: Settings) -> list[Trial]:
    """Try each exporter that the settings name."""
    trials = [_try(name, settings) for name in settings.metrics_exporters]
    if "otlp" in settings.logs_exporters:
        exporter = OtlpLogExporter.from_settings(settings.otlp_logs)
        outcome = exporter.probe(TRIAL_TIMEOUT_S)
        exporter.shutdown(0)
        finding = outcome.reason or "an empty request was taken"
        trials.append(Trial(exporter="otlp (events)", ok=outcome.ok, finding=finding))
    return trials


def _try(name: str, settings: Settings) -> Trial:
    if name == "ndjson":
        return _try_archive(settings.ndjson)
    if name == "prometheus":
        return _try_page(settings.prometheus)
    if name == "otlp":
        return _try_otlp(settings)
    return Trial(exporter=name, ok=True, finding="not tried: it is not this bundle's")


def _try_archive(settings: otel_exporter_ndjson.settings.Settings) -> Trial:
    root = os.path.abspath(settings.path)
    there = root
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Trial(exporter="ndjson", ok=False, finding=f"{there}: {error.strerror}")
    state = "is writable" if there == root else "can be made"
    return Trial(exporter="ndjson", ok=True, finding=f"{root} {state}, {free >> 20} MiB free")


def _try_page(settings: otel_exporter_prometheus.settings.Settings) -> Trial:
    where = f"{settings.host}:{settings.port}"
    if settings.refusal is not None:
        return Trial(exporter="prometheus", ok=False, finding=settings.refusal)
    try:
        with socket.create_server((settings.host, settings.port)):
            return Trial(exporter="prometheus", ok=True, finding=f"{where} is free to listen on")
    except OSError as error:
        service = _service_at(where)
        if service is not None:
            finding = f"http://{where}/metrics answers: service {service}"
            return Trial(exporter="prometheus", ok=True, finding=finding)
        finding = (
            f"{where}: {error.strerror}; another program holds the port: "
            "end it, or set OTEL_EXPORTER_PROMETHEUS_PORT"
        )
        return Trial(exporter="prometheus", ok=False, finding=finding)


def _service_at(where: str) -> str | None:
    """Return the service whose page answers there, None where no page of ours does."""
    request = urllib.request.Request(f"http://{where}/metrics")  # always http
    try:
        with urllib.request.urlopen(request, timeout=TRIAL_TIMEOUT_S) as response:  # noqa: S310
            page = response.read(4 * 2**20).decode("utf-8", "replace")
    except (OSError, ValueError, urllib.error.URLError):
        return None
    for line in page.splitlines():
        if line.startswith("target_info{"):
            _, found, rest = line.partition('service_name="')
            return json.dumps(rest.partition('"')[0]) if found else None
    return None


def _try_otlp(settings: Settings) -> Trial:
    exporter = OtlpMetricExporter.from_settings(settings.otlp_metrics)
    outcome = exporter.probe(TRIAL_TIMEOUT_S)
    exporter.shutdown(0)
    finding = outcome.reason or "an empty request was taken"
    return Trial(exporter="otlp", ok=outcome.ok, finding=finding)

"""`OTEL_CONFIG_FILE`: reads a declarative configuration with upstream's loader, moves the exporters
that the hub drives out of it, and lets upstream start the rest.

What is moved: `ndjson`, `otlp_grpc` and `otlp_http` of periodic readers, `prometheus_multiprocess`
of pull readers. Each becomes the variables that say the same, so that settings are read in one
place only. The file replaces the standard variables; those of this bundle's own, for which the
schema has no place, stay in force.

Schema: opentelemetry-configuration 1.1.0.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from opentelemetry.configuration import OpenTelemetryConfiguration, configure_sdk, load_config_file
from opentelemetry.configuration.models import MetricReader

__all__ = ["apply", "read", "variables"]

OWN_PREFIX: Final = "OTEL_PYTHON_METRICS_"
"""Variables that stay in force beside a file."""


def read(file: str) -> OpenTelemetryConfiguration:
    """Return the checked configuration of a file.

    Raises:
        Exception: upstream's loader refuses the file; its message names the key.
    """
    # Upstream also logs what it raises, with a stack; whoever calls says it in one line.
    logger = logging.getLogger("opentelemetry.configuration")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return load_config_file(file)
    finally:
        logger.setLevel(before)


def variables(
    configuration: OpenTelemetryConfiguration, environ: Mapping[str, str]
) -> dict[str, str]:
    """Move what the hub drives out of `configuration`, and return it as variables.

    Args:
        configuration: changed in place: upstream must not start a second exporter of each.
        environ: the environment, of which this bundle's own variables are kept.
    """
    said = {name: value for name, value in environ.items() if name.startswith(OWN_PREFIX)}
    provider = configuration.meter_provider
    exporters: list[str] = []
    if provider is not None:
        left = []
        for reader in provider.readers:
            moved = dict(_moved(reader))
            if moved:
                exporters.append(moved.pop("exporter"))
                said |= _nearest(said, moved)
            else:
                left.append(reader)
        provider.readers = left
    if configuration.disabled:
        said["OTEL_SDK_DISABLED"] = "true"
    return said | {"OTEL_METRICS_EXPORTER": ",".join(dict.fromkeys(exporters)) or "none"}


def apply(configuration: OpenTelemetryConfiguration) -> None:
    """Let upstream start what is left: other exporters, traces, logs, propagators, resource."""
    configure_sdk(configuration)


def _moved(reader: MetricReader) -> Iterator[tuple[str, str]]:
    """Yield the variables of one reader, `exporter` among them; none where it is upstream's."""
    if reader.periodic is not None:
        exporter = reader.periodic.exporter
        plugins: dict[str, Any] = exporter.additional_properties
        if "ndjson" in plugins:
            yield "exporter", "ndjson"
            yield from _plain("OTEL_EXPORTER_NDJSON_", plugins["ndjson"])
        elif exporter.otlp_grpc is not None or exporter.otlp_http is not None:
            yield "exporter", "otlp"
            yield from _otlp(exporter.otlp_grpc or exporter.otlp_http)
            yield (
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
                ("http/protobuf" if exporter.otlp_grpc is None else "grpc"),
            )
        else:
            return
        if reader.periodic.interval is not None:
            yield "OTEL_METRIC_EXPORT_INTERVAL", str(reader.periodic.interval)
        if reader.periodic.timeout is not None:
            yield "OTEL_METRIC_EXPORT_TIMEOUT", str(reader.periodic.timeout)
    elif reader.pull is not None:
        plugins = reader.pull.exporter.additional_properties
        if "prometheus_multiprocess" in plugins:
            yield "exporter", "prometheus"
            yield from _plain("OTEL_EXPORTER_PROMETHEUS_", plugins["prometheus_multiprocess"])


def _plain(prefix: str, keys: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for key, value in (keys or {}).items():
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield f"{prefix}{key.upper()}", text


def _otlp(exporter: Any) -> Iterator[tuple[str, str]]:
    prefix = "OTEL_EXPORTER_OTLP_METRICS_"
    pairs = [f"{pair.name}={quote(pair.value or '')}" for pair in exporter.headers or ()]
    headers = ",".join([*pairs, *([exporter.headers_list] if exporter.headers_list else [])])
    tls = exporter.tls
    values = {
        "ENDPOINT": exporter.endpoint,
        "HEADERS": headers,
        "COMPRESSION": exporter.compression,
        "TIMEOUT": None if exporter.timeout is None else str(exporter.timeout / 1000),
        "CERTIFICATE": tls and tls.ca_file,
        "CLIENT_KEY": tls and tls.key_file,
        "CLIENT_CERTIFICATE": tls and tls.cert_file,
        "INSECURE": "true" if tls and getattr(tls, "insecure", None) else None,
        "TEMPORALITY_PREFERENCE": _enum(exporter.temporality_preference),
        "DEFAULT_HISTOGRAM_AGGREGATION": _enum(exporter.default_histogram_aggregation),
    }
    for key, value in values.items():
        if value:
            yield prefix + key, str(value)


def _enum(member: Any) -> str | None:
    return None if member is None else str(member.value).replace("_memory", "memory")


def _nearest(said: Mapping[str, str], moved: Mapping[str, str]) -> dict[str, str]:
    """Let the shortest interval of several readers hold, since the hub collects once for all."""
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    if name in said and name in moved and int(said[name]) < int(moved[name]):
        return {**moved, name: said[name]}
    return dict(moved)

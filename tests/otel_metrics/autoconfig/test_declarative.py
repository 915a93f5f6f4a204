"""A configuration file becomes the variables that say the same, and is rid of what they start."""

from pathlib import Path

import pytest

from otel_metrics.autoconfig import declarative

HEAD = """
file_format: "1.1"
meter_provider:
  readers:
"""


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        (
            "    - periodic: {interval: 5000, exporter: {ndjson: {path: /a, sync: never}}}",
            {
                "OTEL_METRICS_EXPORTER": "ndjson",
                "OTEL_METRIC_EXPORT_INTERVAL": "5000",
                "OTEL_EXPORTER_NDJSON_PATH": "/a",
                "OTEL_EXPORTER_NDJSON_SYNC": "never",
            },
        ),
        (
            "    - pull: {exporter: {prometheus_multiprocess: {port: 9999}}}",
            {
                "OTEL_METRICS_EXPORTER": "prometheus",
                "OTEL_EXPORTER_PROMETHEUS_PORT": "9999",
            },
        ),
        (
            (
                "    - periodic: {timeout: 3000, exporter: {otlp_http: {endpoint: 'http://c/v1/metrics',"
                " timeout: 2500, compression: gzip, headers: [{name: k, value: a b}]}}}"
            ),
            {
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_METRIC_EXPORT_TIMEOUT": "3000",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics",
                "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2.5",
                "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
                "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "k=a%20b",
            },
        ),
        (
            (
                "    - periodic: {exporter: {otlp_grpc: {endpoint: 'https://c:4317',"
                " temporality_preference: low_memory, tls: {ca_file: /ca.pem}}}}"
            ),
            {
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://c:4317",
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "lowmemory",
                "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "/ca.pem",
            },
        ),
        ("    - periodic: {exporter: {console: {}}}", {"OTEL_METRICS_EXPORTER": "none"}),
    ],
)
def test_a_reader_becomes_variables(tmp_path: Path, readers: str, said: dict[str, str]) -> None:
    """What the hub drives is said by variables; what is upstream's stays upstream's."""
    file = tmp_path / "otel.yaml"
    file.write_text(HEAD + readers + "\n")
    configuration = declarative.read(str(file))

    variables = declarative.variables(configuration, {})

    assert variables == said
    assert configuration.meter_provider is not None
    left = list(configuration.meter_provider.readers)
    assert bool(left) == (said == {"OTEL_METRICS_EXPORTER": "none"})


def test_the_shortest_interval_holds(tmp_path: Path) -> None:
    """The hub collects once for all, so as often as the most eager reader asks."""
    file = tmp_path / "otel.yaml"
    file.write_text(
        HEAD
        + "    - periodic: {interval: 1000, exporter: {ndjson: {}}}\n"
        + "    - periodic: {interval: 9000, exporter: {otlp_grpc: {}}}\n"
    )

    variables = declarative.variables(declarative.read(str(file)), {})

    assert variables["OTEL_METRIC_EXPORT_INTERVAL"] == "1000"
    assert variables["OTEL_METRICS_EXPORTER"] == "ndjson,otlp"


def test_our_own_variables_stay_in_force_beside_a_file(tmp_path: Path) -> None:
    """The schema has no place for them; the standard ones are replaced by the file."""
    file = tmp_path / "otel.yaml"
    file.write_text('file_format: "1.1"\n')
    environ = {"OTEL_PYTHON_METRICS_STRICT": "true", "OTEL_METRICS_EXPORTER": "otlp"}

    variables = declarative.variables(declarative.read(str(file)), environ)

    assert variables == {"OTEL_PYTHON_METRICS_STRICT": "true", "OTEL_METRICS_EXPORTER": "none"}

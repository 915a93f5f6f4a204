"""Two scopes that use one metric's name, on the page of the collector's Prometheus exporter."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector_config.conftest import MakeCollector
from tests.collector_config.reading import series
from tests.collector_config.running import DEADLINE_S, FOLDER, Collector

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

PROGRAM = """
import sys
from opentelemetry import metrics
import otel_metrics
telemetry = otel_metrics.configure(
    metrics_exporter="otlp", otlp_protocol="grpc", otlp_endpoint=sys.argv[1], service_name="desk",
    host_metrics="off",
)
for scope, door, count in (("one", sys.argv[2], 30), ("two", sys.argv[3], 12)):
    metrics.get_meter(scope).create_counter("visits").add(count, {"door": door})
result = telemetry.flush(30)
assert result.otlp.ok, result
"""


def visits(local: Collector, folder: Path, *doors: str) -> dict[str, float]:
    """Record at two doors, each in a scope of its own, and return what the page shows of it."""
    subprocess.run(
        [sys.executable, "-c", PROGRAM, f"http://{local.grpc}", *doors],
        cwd=folder,
        check=True,
        timeout=DEADLINE_S,
    )
    page = local.page()
    assert page.count("# TYPE visits_total counter\n") == 1
    return series(page, "visits_total")


def test_both_are_counted(collector: MakeCollector, tmp_path: Path) -> None:
    """One family, no error, a series for each; no label says anything of the scope."""
    local = collector("local").start()
    shown = visits(local, tmp_path, "front", "back")

    assert sorted(shown.values()) == [12, 30]
    assert "otel_scope" not in "".join(shown)
    assert local.levels() == {"info"}


def test_with_labels_of_the_scope_the_names_differ(
    collector: MakeCollector, tmp_path: Path
) -> None:
    """The control: without `without_scope_info`, series have labels that they have on no other
    path."""
    changed = tmp_path / "scopes.yaml"
    text = (FOLDER / "local.yaml").read_text()
    changed.write_text(text.replace("    without_scope_info: true\n    # Exemp", "    # Exemp"))
    assert changed.read_text() != text
    shown = visits(collector("local", files=[changed]).start(), tmp_path, "front", "back")

    assert sorted(shown.values()) == [12, 30]
    assert all('otel_scope_name="' in labels for labels in shown)


def test_equal_labels_in_two_scopes_are_an_error(collector: MakeCollector, tmp_path: Path) -> None:
    """A limit, as docs/collector.md has it: where nothing but the scope tells two series apart, the
    page has one of them, and the log names the metric."""
    local = collector("local").start()
    shown = visits(local, tmp_path, "front", "front")

    assert list(shown.values()) in ([12], [30])
    assert local.said("error", "visits_total", "was collected before with the same name")

"""Names, labels and values are the same on our page, on the collector's, and in Prometheus 3."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_exporter_prometheus.naming import metric_name, problem
from otel_metrics.catalog import Catalog, builtin, load
from tests.collector_config.conftest import MakeCollector
from tests.collector_config.every_metric import recorded
from tests.collector_config.naming import (
    Shown,
    differences,
    expected,
    of_openmetrics,
    of_samples,
    of_text,
)
from tests.collector_config.prometheus3 import Prometheus
from tests.collector_config.running import FOLDER, asked, free_port
from tests.e2e.processes import Program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.component("otelcol"),
    pytest.mark.component("prometheus3"),
]

HERE = Path(__file__).parent
PAGE = "our page"
PAGE_OPENMETRICS = "our page in OpenMetrics"
COLLECTOR = "the collector's page"
COLLECTOR_OPENMETRICS = "the collector's page in OpenMetrics"
PROMETHEUS = "Prometheus by OTLP"
REMOTE_WRITE = "Prometheus by the collector's remote write"

NONE = frozenset[tuple[str, str]]()
See = Callable[..., dict[str, Shown]]


@pytest.fixture
def catalog() -> Catalog:
    """The built-in catalog with a user's metrics."""
    file = HERE / "units.yaml"
    return load(file, into=builtin(), name_of=metric_name, problem_of=problem)


@pytest.fixture
def see(collector: MakeCollector, component: Callable[[str], str], tmp_path: Path) -> Iterator[See]:
    """Let one process record everything once, and return what each path shows of it.

    Args:
        exporter: what is laid over the collector's Prometheus exporter.
        strategy: how Prometheus renders names, if not as it should.
    """
    ending = contextlib.ExitStack()

    def look(exporter: dict[str, Any] | None = None, strategy: str = "") -> dict[str, Shown]:
        program = component("prometheus3")
        prometheus = Prometheus(program, tmp_path / "prometheus", strategy=strategy)
        ending.callback(prometheus.close)
        written = Prometheus(program, tmp_path / "written")
        ending.callback(written.close)
        changes = _laid_over(tmp_path, prometheus.start(), written.start(), exporter)
        local = collector("local", files=[FOLDER / "local.yaml", changes]).start()
        port = ending.enter_context(free_port())
        service = _Recording(tmp_path, local.grpc, port)
        ending.callback(service.kill)
        return {
            PAGE: of_text(service.page("text/plain")),
            PAGE_OPENMETRICS: of_openmetrics(service.page("application/openmetrics-text")),
            COLLECTOR: of_text(local.page()),
            COLLECTOR_OPENMETRICS: of_openmetrics(local.page(openmetrics=True)),
            PROMETHEUS: of_samples(prometheus.query('{__name__!=""}')),
            REMOTE_WRITE: of_samples(written.query('{__name__!=""}')),
        }

    with ending:
        yield look


def _laid_over(
    folder: Path, otlp: Prometheus, written: Prometheus, exporter: dict[str, Any] | None
) -> Path:
    """Write what lets `local.yaml` send what it shows itself to Prometheus: as `gateway.yaml` does,
    and as `gateway-remote-write.yaml` does."""
    file = folder / "prometheus.yaml"
    gateway = yaml.safe_load((FOLDER / "gateway-remote-write.yaml").read_text())
    remote_write = gateway["exporters"]["prometheus_remote_write"]
    configuration = {
        "exporters": {
            "prometheus": exporter or {},
            "otlp_http": {"endpoint": otlp.otlp, "sending_queue": {"enabled": False}},
            "prometheus_remote_write": {**remote_write, "endpoint": written.remote_write},
        },
        "service": {
            "pipelines": {
                "metrics": {"exporters": ["prometheus", "otlp_http", "prometheus_remote_write"]}
            }
        },
    }
    file.write_text(yaml.safe_dump(configuration))
    return file


class _Recording:
    """A process that records everything, and goes on showing it on a port that is held."""

    def __init__(self, folder: Path, collector: str, port: int) -> None:
        self._port = port
        env = {
            "OTEL_METRICS_EXPORTER": "prometheus,otlp",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self._port),
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector}",
            "OTEL_PYTHON_METRICS_HOST_METRICS": "off",
            "OTEL_PYTHON_METRICS_STRICT": "true",
            "OTEL_PYTHON_METRICS_CATALOG": str(HERE / "units.yaml"),
        }
        code = (HERE / "every_metric.py").read_text()
        self._program = Program(folder, code, env=env, talks=True)
        assert self._program.await_ready() == "{'otlp': 'delivered'}"

    def page(self, kind: str) -> str:
        """Return its page in a format."""
        return asked(f"http://127.0.0.1:{self._port}/metrics", {"Accept": kind})

    def kill(self) -> None:
        """End it."""
        self._program.kill()


def test_every_path_shows_the_same(catalog: Catalog, see: See) -> None:
    """Of every metric, with every set of attributes that is allowed: the catalog's name, the same
    labels, and the same values to the last bit."""
    shown = see()
    wanted = expected(recorded(catalog))

    assert {path: differences(wanted, seen) for path, seen in shown.items()} == {
        path: [] for path in shown
    }


def test_another_way_to_render_is_seen(catalog: Catalog, see: See) -> None:
    """The control: a collector that leaves the suffixes out and shows scopes, and a Prometheus that
    leaves the dots in, are found out; our page is not."""
    shown = see(
        {"translation_strategy": "UnderscoreEscapingWithoutSuffixes", "without_scope_info": False},
        "NoUTF8EscapingWithSuffixes",
    )
    wanted = expected(recorded(catalog))
    found = {path: differences(wanted, seen) for path, seen in shown.items()}

    assert found[PAGE] == found[REMOTE_WRITE] == []
    assert "missing: pforge_ticks_total{}" in found[COLLECTOR]
    assert any(
        line.startswith("unexpected: pforge_efficiency{'otel_s") for line in found[COLLECTOR]
    )
    assert "unexpected: pforge.ticks_total{}" in found[PROMETHEUS]


def test_the_comparison_sees_a_name_a_label_and_a_value(catalog: Catalog) -> None:
    """The control of the comparison: one sample renamed, one without a label, one off by a bit."""
    wanted = expected(recorded(catalog))
    changed = dict(wanted)
    changed["pforge_tick_total", NONE] = changed.pop(("pforge_ticks_total", NONE))
    (errors,) = (each for each in wanted if each[0] == "pforge_agent_errors_total")
    changed[errors[0], NONE] = changed.pop(errors)
    changed["pforge_gaps", NONE] *= 1 + 2**-52

    assert [line.partition("{")[0] for line in differences(wanted, changed)] == [
        "missing: pforge_agent_errors_total",
        "missing: pforge_ticks_total",
        "pforge_gaps",
        "unexpected: pforge_agent_errors_total",
        "unexpected: pforge_tick_total",
    ]

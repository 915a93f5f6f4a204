"""`local.yaml`: what a service sends is on the page and in the files, all of it, nothing else."""

import re
from pathlib import Path

import pytest
import yaml

from otel_metrics.catalog import builtin
from otel_metrics.render.promql import EVENTS_LANE
from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.reading import archived, counted, received, series
from tests.collector_config.running import FOLDER, until

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]


def test_the_files_hold_what_was_recorded(collector: MakeCollector, service: MakeService) -> None:
    """Every point and event that the service archived is in the files once, to the last bit."""
    local = collector("local").start()
    desk = service("desk", local.grpc)
    verdicts = desk.record(30)
    desk.record(12)
    desk.end()
    local.stop()

    assert verdicts == {name: ["delivered", None] for name in ("ndjson", "otlp", EVENTS_LANE)}
    assert received(local.folder / "out") == archived(local.folder.parent / "desk")


def test_the_page_shows_what_was_recorded(collector: MakeCollector, service: MakeService) -> None:
    """Under the catalog's names, each process of a service apart; before, nothing is there."""
    local = collector("local").start()
    before = local.page()
    one, two = service("one", local.grpc), service("two", f"http://{local.http}", HTTP)
    one.record(30)
    two.record(12)
    page = local.page()

    assert counted(before, "skill_executions_total") == 0
    assert list(series(page, "skill_executions_total").values()) in ([30, 12], [12, 30])
    assert counted(page, "skill_execution_duration_seconds_count") == 42
    for labels in series(page, "skill_executions_total"):
        assert [label.partition("=")[0] for label in labels.split(",")] == [
            "gen_ai_agent_name",
            "gen_ai_skill_name",
            "gen_ai_skill_version",
            "instance",
            "job",
        ]
        assert 'job="desk"' in labels


HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


def test_the_names_are_the_catalogs(collector: MakeCollector, service: MakeService) -> None:
    """What a service records by default has no other name on the collector's page."""
    local = collector("local").start()
    service("desk", local.grpc, {"OTEL_PYTHON_METRICS_HOST_METRICS": "auto"}).record(3)
    shown = {line.split()[2] for line in local.page().splitlines() if line.startswith("# TYPE")} - {
        "target_info"
    }

    known = {metric.prometheus for metric in builtin().metrics.values()}
    assert {"skill_executions_total", "system_memory_usage_bytes"} <= shown <= known


def test_exemplars_are_shown(collector: MakeCollector, service: MakeService) -> None:
    """To who asks for OpenMetrics, which is the form that has them."""
    local = collector("local").start()
    service("desk", local.grpc, {"OTEL_METRICS_EXEMPLAR_FILTER": "always_on"}).record(3)
    page = local.page(openmetrics=True)

    assert page.endswith("# EOF\n")
    assert re.search(r"^skill_execution_duration_.*\} 3 # \{.*trace_id=", page, re.MULTILINE)


def test_an_exporter_that_is_taken_out_shows_nothing(
    collector: MakeCollector, service: MakeService, tmp_path: Path
) -> None:
    """The control: without the page in its pipeline the same service leaves it empty, so that
    nothing but the pipeline brought the values there."""
    configuration = yaml.safe_load((FOLDER / "local.yaml").read_text())
    configuration["service"]["pipelines"]["metrics"]["exporters"] = ["file/metrics"]
    del configuration["exporters"]["prometheus"]
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(configuration))
    local = collector("local", files=[changed]).start()
    verdicts = service("desk", local.grpc).record(3)
    until(lambda: local.own("otelcol_exporter_sent_metric_points"), local.log)

    assert verdicts["otlp"] == ["delivered", None]
    with pytest.raises(OSError, match="refused"):
        local.page()


def test_a_file_goes_on_after_a_restart(collector: MakeCollector, service: MakeService) -> None:
    """What a collector wrote is still there when it was started again, and killed in between."""
    local = collector("local").start()
    service("one", local.grpc).record(5)
    until(lambda: received(local.folder / "out"), local.log)
    before = received(local.folder / "out")
    local.kill()
    local.start()
    service("two", local.grpc).record(5)
    local.stop()

    after = received(local.folder / "out")
    assert before <= after
    assert after.total() > before.total()

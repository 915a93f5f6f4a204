"""The dashboards as they are rendered: not drifted, and of known series only."""

import json
import re
from pathlib import Path

import pytest

from otel_metrics.catalog import builtin
from otel_metrics.render.grafana import dashboard_files
from otel_metrics.render.panels import Steps, banded
from otel_metrics.render.prometheus import groups
from otel_metrics.render.rules import Recording
from tests.collector_config.names import known, labels_of, metrics_of

FOLDER = Path(__file__).parents[3] / "collector-config" / "grafana"
RENDERED = dashboard_files(builtin())


@pytest.mark.parametrize("name", RENDERED)
def test_no_dashboard_has_drifted(name: str) -> None:
    """After a change of the catalog or a dashboard, run `otel-metrics catalog render grafana`."""
    assert (FOLDER / name).read_text(encoding="utf-8") == RENDERED[name]


@pytest.mark.parametrize("name", RENDERED)
def test_a_query_names_only_series_and_labels_that_there_are(name: str) -> None:
    """A panel that asks for what nobody writes is empty for ever."""
    series = known(builtin())
    for panel in json.loads(RENDERED[name])["panels"]:
        for target in panel.get("targets", ()):
            named = metrics_of(target["expr"])
            labels = frozenset().union(*(series.get(it, frozenset()) for it in named))

            assert named - series.keys() == set(), panel["title"]
            assert labels_of(target["expr"]) - labels == set(), panel["title"]


def test_no_query_sums_a_sum_again() -> None:
    """What is one number already needs no second sum, which only hides what the first is over."""
    asked = [
        target["expr"]
        for text in RENDERED.values()
        for panel in json.loads(text)["panels"]
        for target in panel.get("targets", ())
    ]

    assert [expr for expr in asked if re.search(r"\bsum\s*\(\s*sum\s*\(", expr)] == []


def test_every_metric_of_the_catalog_is_on_a_dashboard() -> None:
    """Itself, or what is recorded of it: nothing is measured that an operator cannot see."""
    asked = {
        name
        for text in RENDERED.values()
        for panel in json.loads(text)["panels"]
        for target in panel.get("targets", ())
        for name in metrics_of(target["expr"])
    }
    of_recorded = {
        rule.record: metrics_of(rule.expr)
        for group in groups(builtin())
        for rule in group.rules
        if isinstance(rule, Recording)
    }
    shown = asked.union(*(of_recorded.get(name, set()) for name in asked))

    assert [
        metric.name
        for metric in builtin().metrics.values()
        if not any(name.startswith(metric.prometheus) for name in shown)
    ] == []


def test_thresholds_are_the_bands_of_the_catalog() -> None:
    """Where a metric says what is critical, its panel turns red there."""
    disk = builtin().metrics["system.filesystem.utilization"]
    panels = json.loads(RENDERED["dashboards/host-and-pipeline.json"])["panels"]
    (panel,) = (panel for panel in panels if panel["title"] == "Fullest disk")

    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["color"], step["value"]) for step in steps] == list(banded(disk))
    assert disk.bands is not None
    assert steps[-1] == {"color": "red", "value": disk.bands.critical.lower}


@pytest.mark.parametrize(
    ("metric", "steps"),
    [
        ("executor.queue_depth", (("green", None), ("orange", 25), ("red", 75))),
        ("learning.sources_verified", (("red", None), ("orange", 70), ("green", 85))),
        (
            "autonomy.autonomy_ratio",
            (("red", None), ("orange", 60), ("green", 70), ("orange", 85), ("red", 90)),
        ),
    ],
)
def test_what_is_critical_is_red_on_whichever_side(metric: str, steps: Steps) -> None:
    """What should be low, what should be high, and what should be neither."""
    assert banded(builtin().metrics[metric]) == steps


def test_a_runbook_on_a_site_is_linked_to() -> None:
    """Grafana opens a URL; without one, the dashboard with the same sentences is linked to."""
    there = json.loads(
        dashboard_files(builtin(), runbook="https://example.org/a")["dashboards/skills.json"]
    )
    here = json.loads(RENDERED["dashboards/skills.json"])

    assert there["links"][-1]["url"] == "https://example.org/a"
    assert here["links"][-1]["url"] == "/d/otel-metrics-runbook"

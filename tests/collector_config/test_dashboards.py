"""The dashboards: well formed, and every query gives series on a real Prometheus.

Grafana itself is not run here.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_metrics.autoconfig.environment import VARIABLES
from tests.collector_config.scraped import Prometheus, running

GRAFANA = Path(__file__).parents[2] / "collector-config" / "grafana"
DASHBOARDS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
SOURCE = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())
INTERVAL_S = int(SOURCE["datasources"][0]["jsonData"]["timeInterval"].removesuffix("s"))
CHOSEN = {"$__rate_interval": f"{4 * INTERVAL_S}s", "$service": ".*", "$instance": ".*"}
"""What Grafana puts in place of variables, with everything chosen and the shortest time shown."""
UNITS = {"none", "short", "ops", "reqps", "percent", "percentunit", "currencyUSD", "s", "ms"}
UNITS |= {"bytes", "Bps"}
LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")
SLOW_S = 300

parametrized = pytest.mark.parametrize("name", DASHBOARDS)


def panels(name: str) -> list[dict[str, Any]]:
    """Return the panels of a dashboard, without the headings of rows."""
    return [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]


def queries(name: str) -> Iterator[str]:
    """Yield every query of a dashboard with its variables replaced."""
    for panel in panels(name):
        for target in panel.get("targets", ()):
            yield replaced(target["expr"])


def replaced(text: str) -> str:
    """Return a text with the variables replaced."""
    for variable, value in CHOSEN.items():
        text = text.replace(variable, value)
    return text


def test_there_is_a_dashboard_for_each_question() -> None:
    """The files that the documentation lists."""
    assert set(DASHBOARDS) == {
        *("overview", "skills", "sovereignty", "cost-and-budgets", "efficiency"),
        *("host-and-pipeline", "service-telemetry", "runbook"),
    }


@parametrized
def test_no_panel_covers_another(name: str) -> None:
    """Each has a place of its own within the 24 columns."""
    placed = [panel["gridPos"] for panel in DASHBOARDS[name]["panels"]]

    assert [place for place in placed if place["x"] + place["w"] > 24] == []
    assert [pair for pair in combinations(placed, 2) if overlap(*pair)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Tell whether two places have a field in common."""
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


@parametrized
def test_every_panel_says_what_it_shows(name: str) -> None:
    """Its title, a sentence of description, its unit, and a number that no other has."""
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(set(ids)) == len(ids)

    for panel in panels(name):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        if panel["type"] != "text":
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
            assert panel["targets"], panel["title"]


@parametrized
def test_a_curve_is_named_by_labels_that_its_query_keeps(name: str) -> None:
    """A legend with a label that is summed away would be empty."""
    for panel in panels(name):
        for target in panel.get("targets", ()):
            kept = re.match(r"(?:\d+ \* )?(?:sum|max|min) by \(([^)]*)\)", target["expr"])
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            if kept:
                assert named <= set(kept[1].split(", ")), panel["title"]


@parametrized
def test_every_variable_is_used_and_every_one_used_is_there(name: str) -> None:
    """A choice that changes nothing misleads, and a variable without a list is a wrong query."""
    dashboard = DASHBOARDS[name]
    listed = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"])))

    assert used - {"__rate_interval"} == listed


@parametrized
def test_dashboards_lead_to_each_other_and_to_the_runbook(name: str) -> None:
    """By their common tag, with what the reader chose; and to what there is to do."""
    dashboard = DASHBOARDS[name]
    others, runbook = dashboard["links"]

    assert dashboard["uid"] == f"otel-metrics-{name}"
    assert (others["tags"], others["includeVars"]) == (dashboard["tags"], True)
    assert runbook["url"] == f"/d/{DASHBOARDS['runbook']['uid']}"
    assert dashboard["schemaVersion"] == 42


def test_grafana_is_told_where_dashboards_and_prometheus_are() -> None:
    """One data source, the default; and a folder of files that cannot be changed in Grafana."""
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/otel-metrics.yaml").read_text())
    (prometheus,) = SOURCE["datasources"]
    (files,) = provider["providers"]

    assert (prometheus["type"], prometheus["isDefault"]) == ("prometheus", True)
    assert (files["type"], files["allowUiUpdates"]) == ("file", False)


def test_a_window_of_rates_holds_two_points_of_every_path() -> None:
    """Grafana makes it of `timeInterval`, and a push over OTLP comes less often than a scrape."""
    scraped = yaml.safe_load((GRAFANA.parent / "prometheus/prometheus.yml").read_text())["global"]
    pushed = next(it.default for it in VARIABLES if it.name == "OTEL_METRIC_EXPORT_INTERVAL")

    assert f"{INTERVAL_S}s" == pushed
    assert int(scraped["scrape_interval"].removesuffix("s")) <= INTERVAL_S


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.component(name))
        for name in ("prometheus", "prometheus3")
    ],
)
def prometheus(
    request: pytest.FixtureRequest,
    component: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """A Prometheus with the rules, and with every metric of the catalog."""
    with running(component(request.param), tmp_path_factory.mktemp(request.param)) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(SLOW_S)
def test_every_query_gives_series(prometheus: Prometheus) -> None:
    """No panel is empty where everything is recorded, on Prometheus 2 and on 3."""
    asked = {query: name for name in DASHBOARDS for query in queries(name)}

    missing = prometheus.wait_for(*asked)

    assert [(asked[query], query) for query in missing] == []


@pytest.mark.slow
@pytest.mark.timeout(SLOW_S)
def test_every_variable_has_values(prometheus: Prometheus) -> None:
    """The lists of services and of instances are not empty."""
    lists = {
        variable["definition"]
        for dashboard in DASHBOARDS.values()
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }
    asked = [LABEL_VALUES.fullmatch(replaced(values)) for values in lists]

    missing = prometheus.wait_for(*(f"count by ({it[2]}) ({it[1]})" for it in asked if it))

    assert (all(asked), missing) == (True, [])


@pytest.mark.slow
@pytest.mark.timeout(SLOW_S)
def test_a_query_with_a_misspelt_metric_gives_none(prometheus: Prometheus) -> None:
    """What the test above relies on: an empty panel shows as one."""
    right = "sum by (gen_ai_skill_name) (rate(skill_executions_total[30s]))"
    assert prometheus.wait_for(right) == []

    wrong = right.replace("skill_executions_total", "skill_execution_total")

    assert prometheus.series(wrong) == []


@pytest.mark.slow
@pytest.mark.timeout(SLOW_S)
def test_an_alert_says_what_is_wrong_in_words_and_figures(prometheus: Prometheus) -> None:
    """The templates of an alert that fires are filled in by Prometheus."""
    assert prometheus.wait_for('ALERTS{alertname="ArchiveErrors",alertstate="firing"}') == []

    alerts = prometheus.ask("alerts")["alerts"]

    said = next(it["annotations"] for it in alerts if it["labels"]["alertname"] == "ArchiveErrors")
    assert said["summary"] == "The archive of shop reports errors"
    assert re.fullmatch(r"[\d.k]+ of type \S+ in the last 15 minutes\.", said["description"])

"""The rules as they are rendered: only what the catalog knows, by the limits of the code itself."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_exporter_prometheus import naming
from otel_metrics.catalog import builtin, load
from otel_metrics.efficiency.recorder import DIP_BELOW
from otel_metrics.render.own_catalog import EXAMPLE
from otel_metrics.render.prometheus import groups, rule_files
from otel_metrics.render.promql import PER_INSTANCE, Queries, label
from otel_metrics.render.rules import Alert, Recording
from otel_metrics.skills.thresholds import DEFAULTS
from otel_metrics.sovereignty.report import TARGETS
from tests.collector_config.names import known, labels_of, metrics_of

FOLDER = Path(__file__).parents[3] / "collector-config" / "prometheus"
RULES = [rule for group in groups(builtin()) for rule in group.rules]
ALERTS = {rule.alert: rule for rule in RULES if isinstance(rule, Alert)}
RECORDINGS = {rule.record: rule for rule in RULES if isinstance(rule, Recording)}


@pytest.mark.parametrize("name", rule_files(builtin()))
def test_no_rule_file_has_drifted(name: str) -> None:
    """After a change of the catalog or the rules, run `otel-metrics catalog render prometheus`."""
    assert (FOLDER / name).read_text(encoding="utf-8") == rule_files(builtin())[name]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: getattr(rule, "record", "") or rule.alert)
def test_a_rule_names_only_series_and_labels_that_there_are(rule: Recording | Alert) -> None:
    """A name that nobody writes would make a rule that is silent for ever."""
    series = known(builtin())
    named = metrics_of(rule.expr)

    assert named - series.keys() == set()
    assert labels_of(rule.expr) - frozenset().union(*(series[name] for name in named)) == set()


def test_a_rule_is_recorded_before_it_is_asked_for() -> None:
    """Prometheus evaluates a group from the top; no recording waits for the next minute."""
    seen: set[str] = set()
    for name, rule in RECORDINGS.items():
        assert metrics_of(rule.expr) & RECORDINGS.keys() <= seen, name
        seen.add(name)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recorded_series_is_named_level_metric_operations(name: str) -> None:
    """As Prometheus' own practice has it, so that a reader sees what is left of the labels."""
    assert re.fullmatch(r"job(_[a-z_]+)?:[a-z0-9_]+:[a-z0-9_]+", name)


def test_the_names_of_an_expression_are_its_metrics_and_labels() -> None:
    """The check above sees metrics and labels, and takes neither functions nor words for them."""
    expr = 'sum without (a) (rate(x_total{b="c d", e!="f"}[5m])) > 0 and 1.5 * y:z offset 1h'

    assert metrics_of(expr) == {"x_total", "y:z"}
    assert labels_of(expr) == {"a", "b", "e"}


def test_labels_are_those_of_the_page() -> None:
    """Rules and page make the same label of an attribute's key."""
    keys = builtin().attributes

    assert {key: label(key) for key in keys} == {key: naming.label_name(key) for key in keys}


def test_labels_of_instances_are_no_attributes() -> None:
    """What is summed away as the instance's never is what a metric tells apart."""
    assert {label(key) for key in builtin().attributes} & set(PER_INSTANCE) == set()


@pytest.mark.parametrize(
    ("alert", "threshold"),
    [
        ("SkillFidelityBelowRollbackLimit", f"< {DEFAULTS.rollback.fidelity_min:g}\n"),
        ("SkillCorrectnessBelowRollbackLimit", f"< {DEFAULTS.rollback.correct_min:g}\n"),
        ("SkillErrorsAboveRollbackLimit", f"> {DEFAULTS.rollback.exception_rate_max:g}\n"),
        ("EfficiencyDip", f"< {DIP_BELOW:g}"),
        *((f"SovereigntyBelowTargetOfHour{hour}", f"< {at / 100:g}\n") for hour, at in TARGETS),
    ],
)
def test_an_alert_goes_by_the_limit_of_the_code(alert: str, threshold: str) -> None:
    """Who changes the limit of a rollback changes the alert with it."""
    assert threshold in ALERTS[alert].expr


def test_only_who_tries_again_is_told_to_have_lost_data() -> None:
    """An exporter that tries nothing again leaves it to the one before it, and counts it all the
    same: those of the committed collectors, by their names."""
    tries: dict[str, bool] = {}
    for path in FOLDER.parent.glob("*.yaml"):
        exporters = yaml.safe_load(path.read_text()).get("exporters", {})
        if path.name != "builder.yaml":
            tries |= {name: _tries_again(it) for name, it in exporters.items()}
    (left_out,) = set(re.findall(r'exporter!~"([^"]*)"', ALERTS["CollectorRefusesData"].expr))

    assert {name for name in tries if re.fullmatch(left_out, name)} == {
        name for name, again in tries.items() if not again
    }


def _tries_again(exporter: dict[str, Any]) -> bool:
    return bool(exporter.get("retry_on_failure", {}).get("enabled", True))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_links_to_its_section_of_the_runbook(name: str) -> None:
    """The page has a heading for it, and says what the alert itself says is to be done."""
    page = (FOLDER.parents[1] / "docs" / "prometheus.md").read_text(encoding="utf-8")
    file = yaml.safe_load(
        rule_files(builtin(), runbook="https://example.org/a")["rules/alerts.yml"]
    )
    links = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in file["groups"]
        for rule in group["rules"]
    }

    assert f"\n### {name}\n" in page
    assert ALERTS[name].action in page
    assert links[name] == f"https://example.org/a#{name.lower()}"


def test_the_runbook_has_no_section_without_an_alert() -> None:
    """What is taken out of the rules goes from the page as well."""
    page = (FOLDER.parents[1] / "docs" / "prometheus.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == set(ALERTS)


def test_attributes_of_a_users_own_catalog_are_summed_away(tmp_path: Path) -> None:
    """A metric that a user extends is still one series a skill."""
    path = tmp_path / "shop.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    catalog = load(path, into=builtin(), name_of=naming.metric_name, problem_of=naming.problem)

    without = "gen_ai_agent_name, gen_ai_skill_version, error_type, shop_region) (\n"
    assert without in rule_files(catalog)["rules/recording.yml"]
    assert without not in rule_files(builtin())["rules/recording.yml"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda queries: queries.rate("skill.execution", (), "5m"),
        lambda queries: queries.rate("skill.executions", ("sovereignty.layer",), "5m"),
        lambda queries: queries.selector("skill.executions", where={"skill.outcome": "=correct"}),
        lambda queries: queries.selector("skill.outcomes", where={"skill.outcome": "=right"}),
        lambda queries: queries.selector("skill.fidelity"),
        lambda queries: queries.selector("skill.outcomes", part="sum"),
    ],
    ids=["metric", "kept", "matched", "value", "no part", "part"],
)
def test_what_the_catalog_does_not_know_is_not_rendered(ask: object) -> None:
    """A slip in a rule stops the rendering and is no rule that waits for ever."""
    assert callable(ask)
    with pytest.raises(KeyError):
        ask(Queries(builtin()))

"""The rules in front of promtool: they hold, they are unit-tested, and a wrong one is noticed."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_metrics.catalog import builtin
from otel_metrics.render.prometheus import groups
from otel_metrics.render.rules import Recording
from tests.collector_config.mutants import Rule, mutants

FOLDER = Path(__file__).parents[2] / "collector-config" / "prometheus"
RULE_FILES = ("recording.yml", "alerts.yml")
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
PROMTOOLS = [
    pytest.param("promtool", marks=pytest.mark.component("promtool")),
    pytest.param("promtool3", marks=pytest.mark.component("promtool3")),
]
NAMES = [
    rule.record if isinstance(rule, Recording) else rule.alert
    for group in groups(builtin())
    for rule in group.rules
]
HEAVY_S = 600

Component = Callable[[str], str]


def run(*command: str | Path, cwd: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=HEAVY_S)


def rules() -> Iterator[Rule]:
    """Yield every rule as it is committed."""
    for name in RULE_FILES:
        for group in yaml.safe_load((FOLDER / "rules" / name).read_text())["groups"]:
            yield from group["rules"]


def name_of(rule: Rule) -> str:
    """Return the name of a rule."""
    return str(rule.get("record") or rule["alert"])


def cases_of(name: str) -> dict[str, Any]:
    """Return the unit tests that ask for a rule, as one file."""
    asked = re.compile(rf"(?<![\w:]){re.escape(name)}(?![\w:])")
    kept: list[Any] = []
    file: dict[str, Any] = {}
    for path in TESTS:
        file = yaml.safe_load(path.read_text())
        for test in file["tests"]:
            cases = [case for case in test["promql_expr_test"] if asked.search(case["expr"])]
            kept += [{**test, "promql_expr_test": cases}] if cases else []
    return {**file, "tests": kept}


@pytest.mark.parametrize("program", PROMTOOLS)
@pytest.mark.parametrize("name", RULE_FILES)
def test_promtool_finds_nothing(component: Component, program: str, name: str) -> None:
    """Every lint passes, warnings included."""
    checked = run(
        component(program), "check", "rules", "--lint=all", "--lint-fatal", f"rules/{name}"
    )

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("program", PROMTOOLS)
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_every_unit_test_passes(component: Component, program: str, path: Path) -> None:
    """What the rules make of series that are known, both on Prometheus 2 and 3."""
    tested = run(component(program), "test", "rules", path)

    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_are_evaluated_after_what_they_ask_for(path: Path) -> None:
    """Without an order promtool takes groups as they come, and an alert sees the minute before."""
    order = yaml.safe_load(path.read_text())["group_eval_order"]

    assert order == [group.name for group in groups(builtin())]


@pytest.mark.slow
@pytest.mark.timeout(HEAVY_S)
@pytest.mark.component("promtool")
@pytest.mark.parametrize("name", NAMES)
def test_a_unit_test_notices_whatever_is_wrong_with_a_rule(
    component: Component, name: str, tmp_path: Path
) -> None:
    """A comparison turned round, a threshold that is off, a wait that is longer, and the like."""
    rule = next(rule for rule in rules() if name_of(rule) == name)
    before = [
        other for other in rules() if name_of(other) != name and name_of(other) in rule["expr"]
    ]
    wrong = dict(mutants(rule))
    cases = cases_of(name)
    assert cases["tests"], f"no unit test asks for {name}"
    for number, mutant in enumerate([rule, *wrong.values()]):
        write(tmp_path / str(number), [*before, mutant], cases)

    passed = run_all(component("promtool"), tmp_path, len(wrong) + 1)

    assert passed[0], "the rule as it is passes its tests"
    assert [what for what, missed in zip(wrong, passed[1:], strict=True) if missed] == []


def write(folder: Path, rules_in_order: list[Rule], cases: dict[str, Any]) -> None:
    """Write a few rules, and tests beside them."""
    folder.mkdir()
    few = {"groups": [{"name": "few", "rules": rules_in_order}]}
    (folder / "rules.yml").write_text(yaml.safe_dump(few))
    file = {**cases, "rule_files": ["rules.yml"], "group_eval_order": ["few"]}
    (folder / "test.yml").write_text(yaml.safe_dump(file))


def run_all(promtool: str, folder: Path, count: int) -> list[bool]:
    """Run promtool over many folders, and tell for each whether its tests passed."""
    files = [folder / str(number) / "test.yml" for number in range(count)]
    tested = run(promtool, "test", "rules", *files)
    said = tested.stdout + tested.stderr
    verdicts = re.findall(r"^  (SUCCESS|FAILED)", said, re.MULTILINE)
    assert len(verdicts) == count, said
    assert said.count("got:") >= verdicts.count("FAILED"), "each failed by a result"
    assert "error" not in said.replace("error_", "").replace("_error", ""), said
    return [verdict == "SUCCESS" for verdict in verdicts]

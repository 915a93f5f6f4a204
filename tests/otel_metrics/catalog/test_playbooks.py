"""Playbooks of catalog files: what one may say, and how a wrong one is refused."""
# ruff: noqa: E501  # a case a line, so that the tables can be read as tables

from pathlib import Path

import pytest

from otel_metrics.catalog import Catalog, InvalidCatalogError, Playbook, builtin, load
from otel_metrics.catalog.model import Parameter

VALID = """\
file_format: definition/2
playbooks:
  - id: hire-pickers
    brief: Call further people in.
    risk: low
"""
PARAMETER = VALID + "    parameters: [{name: a, brief: A., REST}]\n"


def loaded(text: str, folder: Path) -> Catalog:
    path = folder / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, into=builtin(), name_of=lambda name, *_: name.replace(".", "_"))


def problems(text: str, folder: Path) -> list[str]:
    with pytest.raises(InvalidCatalogError) as caught:
        loaded(text, folder)
    return [str(problem).removeprefix(f"{folder}/shop.yaml:") for problem in caught.value.problems]


def test_a_file_adds_playbooks(tmp_path: Path) -> None:
    """With what is not said as documented, and every built-in one still there."""
    catalog = loaded(VALID, tmp_path)

    assert catalog.playbooks["hire-pickers"] == Playbook(
        id="hire-pickers",
        brief="Call further people in.",
        risk="low",
        within_s=600.0,
    )
    assert catalog.playbooks.keys() - {"hire-pickers"} == builtin().playbooks.keys()


def test_everything_that_a_playbook_may_say_is_kept(tmp_path: Path) -> None:
    """Parameters in their order, the time, and the metric that is looked at."""
    more = """\
    within: 90s
    verifies: executor.task_latency
    parameters:
      - {name: site, type: string, brief: Where., choices: [north, south], default: north}
      - {name: agency, type: string, brief: Of whom., pattern: "[a-z]{2,9}"}
      - {name: people, type: integer, brief: How many., minimum: 1, maximum: 5, default: 2}
      - {name: share, type: number, brief: Of the day., minimum: 0, maximum: 1}
"""

    assert loaded(VALID + more, tmp_path).playbooks["hire-pickers"] == Playbook(
        id="hire-pickers",
        brief="Call further people in.",
        risk="low",
        within_s=90.0,
        verifies="executor.task_latency",
        parameters=(
            Parameter(
                name="site",
                type="string",
                brief="Where.",
                choices=("north", "south"),
                default="north",
            ),
            Parameter(name="agency", type="string", brief="Of whom.", pattern="[a-z]{2,9}"),
            Parameter(
                name="people", type="integer", brief="How many.", minimum=1, maximum=5, default=2
            ),
            Parameter(name="share", type="number", brief="Of the day.", minimum=0, maximum=1),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("id: hire-pickers", "id: Hire_Pickers", "3: playbooks[Hire_Pickers].id: 'Hire_Pickers' is no name; use small letters and digits, with '-' between words, at most 63"),
        ("id: hire-pickers", "id: hire-", "3: playbooks[hire-].id: 'hire-' is no name; use small letters and digits, with '-' between words, at most 63"),
        ("id: hire-pickers", "id: scale-workers", "3: playbooks[scale-workers].id: the playbook 'scale-workers' is built in and cannot be redefined; choose another name"),
        ("    brief: Call further people in.\n", "", "3: playbooks[hire-pickers].brief: is missing; say in one sentence what it does"),
        ("    risk: low\n", "", "3: playbooks[hire-pickers].risk: is missing; add risk: one of low, medium, high, critical"),
        ("risk: low", "risk: none", "5: playbooks[hire-pickers].risk: 'none' is not one of low, medium, high, critical; choose one"),
        ("risk: low", "rsik: low", "5: playbooks[hire-pickers].rsik: is no known key; did you mean 'risk'?"),
        ("risk: low", "risk: low\n    within: 2d", "6: playbooks[hire-pickers].within: is no time up to 1d; write such as 90s or 10m"),
        ("risk: low", "risk: low\n    within: 0", "6: playbooks[hire-pickers].within: is no time up to 1d; write such as 90s or 10m"),
        ("risk: low", "risk: low\n    verifies: executor.queue_dept", "6: playbooks[hire-pickers].verifies: there is no metric 'executor.queue_dept'; did you mean 'executor.queue_depth'?"),
        ("risk: low", "risk: low\n    verifies: skill.executions", "6: playbooks[hire-pickers].verifies: 'skill.executions' has no bands that it could be back in; give it bands, or name another metric"),
        ("risk: low", "risk: low\n    parameters: many", "6: playbooks[hire-pickers].parameters: is 'many', a text; make it a list"),
        ("risk: low", f"risk: low\n    parameters: [{', '.join(['{name: a}'] * 21)}]", "6: playbooks[hire-pickers].parameters: 21 of them; keep at most 20"),
        ("    risk: low\n", "    risk: low\n  - {id: hire-pickers, brief: B., risk: low}\n", None),
    ],
)  # fmt: skip
def test_a_wrong_playbook_is_refused(
    old: str, new: str, problem: str | None, tmp_path: Path
) -> None:
    """With line, key and remedy."""
    found = problems(VALID.replace(old, new), tmp_path)

    twice = f"6: playbooks[hire-pickers].id: the playbook 'hire-pickers' is there already, at {tmp_path}/shop.yaml:3; keep one"
    assert (problem or twice) in found


@pytest.mark.parametrize(
    ("pattern", "slow"),
    [
        ("(a+)+", "a repeat within a repeat"),
        ("(a*)*b", "a repeat within a repeat"),
        ("(a*?){2,}?b", "a repeat within a repeat"),
        ("((a{1,9}){2,9}){2,9}", "a repeat within a repeat"),
        ("(?=(a+)+$).*", "a repeat within a repeat"),
        ("(?!(?:b|(?:a?){9}))a", "a repeat within a repeat"),
        (r"(a)(\1*)*", "a repeat within a repeat"),
        ("(?:a|ab)*", "a repeat of alternatives"),
        ("(x(a|b|ab){0,99})?", "a repeat of alternatives"),
        (".*.*.*.*x", "more than 3 long repeats"),
        ("(?:[a-z]{1,99}){4}", "more than 3 long repeats"),
    ],
)
def test_a_pattern_that_could_take_for_ever_is_refused(
    pattern: str, slow: str, tmp_path: Path
) -> None:
    """It would hold up the whole service, the kill switch too."""
    rest = PARAMETER.replace("REST", f"type: string, pattern: '{pattern}'")

    (problem,) = problems(rest, tmp_path)
    assert problem == (
        f"6: playbooks[hire-pickers].parameters[0].pattern: has {slow}, which a hostile value "
        "makes take for ever; repeat characters or classes of them, one after another"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]{2,9}",
        "(?s).+",
        "[a-z]+/[a-z]+:[0-9]*",
        "([a-z]+)?",
        "(?:a|b)-[0-9]{1,3}",
        r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}",
    ],
)
def test_a_pattern_that_is_soon_decided_is_taken(pattern: str, tmp_path: Path) -> None:
    """Repeats one after another, and what occurs a few times."""
    text = PARAMETER.replace("REST", f"type: string, pattern: '{pattern}'")

    (parameter,) = loaded(text, tmp_path).playbooks["hire-pickers"].parameters
    assert parameter.pattern == pattern


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("type: text", "type: 'text' is not one of string, integer, number; choose one"),
        ("type: string", "type: takes any text; give either its choices or a pattern"),
        ("type: string, choices: [a], pattern: a", "type: has both choices and a pattern; give either its choices or a pattern"),
        ("type: string, choices: [a, 3]", "choices: are not texts that differ; quote each, and keep each once"),
        ("type: string, choices: [a, a]", "choices: are not texts that differ; quote each, and keep each once"),
        ('type: string, pattern: "[a"', "pattern: is none: unterminated character set at position 0; write a regular expression of Python, which must match the whole text"),
        ('type: string, pattern: "a{99999999999}"', "pattern: is none: the repetition number is too large; write a regular expression of Python, which must match the whole text"),
        (f"type: string, pattern: {'a' * 501}", "pattern: has 501 characters; use 500 at most"),
        ("type: string, choices: [a], minimum: 1", "minimum: is for a number, and this is of type string; remove it"),
        ("type: integer, minimum: 1, maximum: 2, pattern: a", "pattern: is for a text, and this is of type integer; remove it"),
        ("type: integer, minimum: 1", "maximum: is missing; give the least and the greatest number that it takes"),
        ("type: number, minimum: 2, maximum: 1", "minimum: is above maximum; swap them"),
        ("type: string, choices: [north, south], default: east", "default: is not what the parameter takes; make it one of north, south"),
        ('type: string, pattern: "[a-z]+", default: a1', "default: is not what the parameter takes; make it a text that the pattern matches whole"),
        ("type: integer, minimum: 1, maximum: 5, default: 6", "default: is not what the parameter takes; make it a whole number within minimum and maximum"),
        ("type: integer, minimum: 1, maximum: 5, default: 2.5", "default: is not what the parameter takes; make it a whole number within minimum and maximum"),
        ("type: integer, minimum: 0, maximum: 5, default: true", "default: is not what the parameter takes; make it a whole number within minimum and maximum"),
        ("type: number, minimum: 0, maximum: 5, default: .nan", "default: is not what the parameter takes; make it a number within minimum and maximum"),
        ("type: number, minimum: 0, maximum: 5, defualt: 1", "defualt: is no known key; did you mean 'default'?"),
    ],
)  # fmt: skip
def test_a_parameter_that_could_be_anything_is_refused(
    rest: str, problem: str, tmp_path: Path
) -> None:
    """Nothing reaches an action that the file does not allow in so many words."""
    found = problems(PARAMETER.replace("REST", rest), tmp_path)

    assert f"6: playbooks[hire-pickers].parameters[0].{problem}" in found


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("a", "a"), "[1].name: 'a' is there already; keep one of both"),
        (("Big",), "[0].name: 'Big' is no name; use small letters, digits and '_', a letter first, at most 63 characters"),
    ],
)  # fmt: skip
def test_parameters_have_names_that_differ(
    names: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    """A step names a parameter by it."""
    entries = [f"{{name: {name}, brief: A., type: string, choices: [x]}}" for name in names]

    found = problems(f"{VALID}    parameters: [{', '.join(entries)}]\n", tmp_path)

    assert found == [f"6: playbooks[hire-pickers].parameters{problem}"]


def test_a_metric_may_recommend_what_the_same_file_defines(tmp_path: Path) -> None:
    """In whatever order they stand."""
    text = """\
file_format: definition/2
metric_refinements:
  - id: shop.refined
    ref: executor.queue_depth
    annotations: {playbooks: {warning: hire-pickers}}
""" + VALID.removeprefix("file_format: definition/2\n")

    playbooks = loaded(text, tmp_path).metrics["executor.queue_depth"].playbooks

    assert playbooks is not None
    assert playbooks.warning == "hire-pickers"

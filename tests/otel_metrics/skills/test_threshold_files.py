"""Thresholds from YAML: what is not said, what one skill has of its own, and what is refused."""

from pathlib import Path

import pytest

from otel_metrics.skills.threshold_files import load
from otel_metrics.skills.thresholds import Production, Rollback, Staged, Thresholds
from otel_metrics.yaml_source import YamlSourceError

FILE = """
defaults:
  staged: {fidelity_min: 0.92}
  production:
    records_min: 200
  positive_decisions: [approve, true]
skills:
  YouTube Live Chat:
    staged: {correct_min: 1}
    rollback: {duration_records: 5, duration_factor_max: 2.5}
    critical_decisions: []
  ../../etc/passwd: {}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "thresholds.yaml"


def test_a_skill_has_its_own_over_the_defaults(path: Path) -> None:
    """Key by key; what neither says is as in the contract."""
    path.write_text(FILE)

    found = load(path)
    defaults = Thresholds(
        staged=Staged(fidelity_min=0.92),
        production=Production(records_min=200),
        positive_decisions=("approve", True),
    )
    assert found.of("another") == found.of("../../etc/passwd") == defaults
    assert found.of("YouTube Live Chat") == Thresholds(
        staged=Staged(fidelity_min=0.92, correct_min=1),
        production=Production(records_min=200),
        rollback=Rollback(duration_records=5, duration_factor_max=2.5),
        positive_decisions=("approve", True),
        critical_decisions=(),
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "defaults:\nskills:\n", "skills: {triage: }"])
def test_a_file_that_says_nothing_leaves_the_defaults(path: Path, text: str) -> None:
    """Nobody has to fill one in."""
    path.write_text(text)

    assert load(path).of("triage") == Thresholds()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("default: {}", "1: default: is no known key; did you mean 'defaults'?"),
        (
            "defaults:\n  staged:\n    fidelty_min: 0.9",
            "3: defaults.staged.fidelty_min: is no known key; did you mean 'fidelity_min'?",
        ),
        (
            "skills:\n  a b:\n    positiv_decisions: []",
            "3: skills.a b.positiv_decisions: is no known key; did you mean 'positive_decisions'?",
        ),
        (
            "defaults: {staged: {fidelity_min: 90}}",
            "1: defaults.staged.fidelity_min: is 90; write a number from 0 to 1",
        ),
        (
            "defaults: {staged: {fidelity_min: high}}",
            "1: defaults.staged.fidelity_min: is 'high', a text; make it a finite number",
        ),
        (
            "defaults: {production: {records_min: 0}}",
            "1: defaults.production.records_min: is 0; write a whole number from 1",
        ),
        (
            "defaults: {production: {records_min: 1.5}}",
            "1: defaults.production.records_min: is 1.5; write a whole number from 1",
        ),
        (
            "defaults: {production: {exceptions_max: -1}}",
            "1: defaults.production.exceptions_max: is -1; write a whole number from 0",
        ),
        (
            "defaults: {production: {window_days: 0}}",
            "1: defaults.production.window_days: is 0; write a number above 0",
        ),
        (
            "defaults: {rollback: {fidelity_records: 0}}",
            "1: defaults.rollback.fidelity_records: is 0; write a whole number from 1",
        ),
        (
            "defaults: {rollback: {duration_factor_max: .inf}}",
            "1: defaults.rollback.duration_factor_max: is inf; make it a finite number",
        ),
        (
            "defaults: {positive_decisions: approve}",
            "1: defaults.positive_decisions: is 'approve', a text; make it a list",
        ),
        ("defaults: [1]", "1: defaults: is a list; make it a mapping of keys and values"),
        ("skills: 3", "1: skills: is 3; make it a mapping of keys and values"),
        ("- 1", "1: is a list; make it a mapping of keys and values"),
        ("skills: {}\nskills: {}", "2: the key 'skills' is there twice (first on line 1)"),
    ],
)
def test_what_is_wrong_is_named_with_line_key_and_remedy(
    path: Path, text: str, expected: str
) -> None:
    """One line a problem."""
    path.write_text(text)

    with pytest.raises(YamlSourceError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{expected}")


def test_every_problem_is_named_at_once(path: Path) -> None:
    """In the order of their lines."""
    path.write_text("skills:\n  a: {staged: 3}\ndefaults:\n  staged: {correct_min: 7}\n")

    with pytest.raises(YamlSourceError) as caught:
        load(path)
    assert [problem.line for problem in caught.value.problems] == [2, 4]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(YamlSourceError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")

"""`otel-metrics skills list`."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from otel_metrics.cli.main import root
from tests.otel_metrics.cli.skills.conftest import Run
from tests.otel_metrics.cli.skills.past import Past


def test_each_skill_is_in_a_line(skills: Run, folder: Path, ready: Past) -> None:
    """State, records of each kind, gates that are met, triggers that fire; names as they are."""
    Past(folder, "../../etc/passwd", file="%2E.%2F..%2Fetc%2Fpasswd").fidelities(10, 0.5)
    live = Past(folder, "YouTube Live Chat")
    live.promoted("staged", "production")
    live.fidelities(10, 0.5)

    result = skills("list", "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {
            "skill": "../../etc/passwd",
            "state": "prototype",
            "performance": 0,
            "outcomes": 0,
            "fidelity": 10,
            "gates": "0/4",
            "firing": [],
            "to_state": "staged",
            "gates_met": 0,
            "gates_all": 4,
        },
        {
            "skill": "YouTube Live Chat",
            "state": "production",
            "performance": 0,
            "outcomes": 0,
            "fidelity": 10,
            "gates": "",
            "firing": ["pattern_fidelity_drop"],
            "to_state": None,
            "gates_met": 0,
            "gates_all": 0,
        },
        {
            "skill": "triage",
            "state": "prototype",
            "performance": 100,
            "outcomes": 100,
            "fidelity": 100,
            "gates": "4/4",
            "firing": [],
            "to_state": "staged",
            "gates_met": 4,
            "gates_all": 4,
        },
    ]


def test_every_format_says_the_same(skills: Run, ready: Past) -> None:
    """A line a skill, or a row."""
    rows = json.loads(skills("list", "--format", "json").stdout)

    assert yaml.safe_load(skills("list", "--format", "yaml").stdout) == rows
    assert skills("list").stdout.splitlines() == [
        "SKILL   STATE      PERFORMANCE  OUTCOMES  FIDELITY  GATES  FIRING",
        "triage  prototype  100          100       100       4/4",
    ]
    assert skills("list", "--format", "csv").stdout.splitlines()[1].startswith("triage,prototype,")
    assert skills("list", "--format", "markdown").stdout.splitlines()[2].startswith("| triage |")


def test_a_name_cannot_drive_the_terminal(skills: Run, folder: Path) -> None:
    """Control characters are shown as escapes."""
    Past(folder, "a\x1b[31mb", file="a%1B%5B31mb").fidelities(1)

    assert "a\\u001b[31mb" in skills("list").stdout


def test_a_bad_line_is_told_and_the_rest_counts(skills: Run, folder: Path, ready: Past) -> None:
    """With file and number; the status says that not all was read."""
    path = folder / "triage_fidelity.json"
    path.write_text('{"half": ' + "\n" + path.read_text())

    result = skills("list", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)[0]["fidelity"]) == (3, 100)
    assert result.stderr == (
        f"{path}:1: skipped: no JSON from column 1 on; mend the line, or remove it\n"
    )


def test_a_folder_without_skills_is_told(skills: Run) -> None:
    """It is no error."""
    for command in ("list", "status"):
        result = skills(command)

        assert (result.exit_code, result.stdout) == (0, "")
        assert "no skill is recorded here" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--skills-dir", "none"], "--skills-dir=none: No such file or directory; give the folder"),
        (["--archive", "none"], "--archive=none: No such file or directory; give the folder"),
        (["--thresholds", "none.yaml"], "none.yaml: cannot be read: No such file or directory"),
        (["--format", "xml"], "--format=xml: is not known; give table"),
    ],
)
def test_wrong_use_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """On the error stream, with status 2."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_SKILLS_DIR", str(folder))

    result = CliRunner().invoke(root, ["skills", "list", *arguments])
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_thresholds_that_are_no_yaml_are_one_line(skills: Run, folder: Path) -> None:
    """With file, line and what to do."""
    path = folder / "thresholds.yaml"
    path.write_text("defaults:\n  staged: {fidelity_min: 0.9\n  positive_decisions: [a]\n")

    assert skills("list").stderr == (
        f"{path}:2: defaults.staged: a {{ that is not closed, or lacks a comma; close it with }}\n"
    )


def test_a_variable_that_names_no_folder_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that who set it finds it."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_SKILLS_DIR", "nowhere")

    result = CliRunner().invoke(root, ["skills", "list"])
    assert result.exit_code == 2
    assert "OTEL_PYTHON_METRICS_SKILLS_DIR=nowhere: No such file" in result.stderr


def test_a_misspelt_skill_in_the_thresholds_is_told(skills: Run, folder: Path, ready: Past) -> None:
    """Its thresholds are nobody's."""
    (folder / "thresholds.yaml").write_text("skills: {triaje: {}}")

    assert "skills.triaje: no such skill" in skills("list").stderr
    assert "did you mean triage?" in skills("list").stderr

"""`otel-metrics skills status`: over files that were written by hand, and over an archive."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from otel_metrics import skills as recording
from otel_metrics.archive.adding import adding
from otel_metrics.cli.main import root
from tests.otel_metrics.cli.skills.conftest import Run
from tests.otel_metrics.cli.skills.past import DAY_S, Past


def checks(result: Result) -> dict[str, dict[str, Any]]:
    """Return the rows by the name of the gate or trigger."""
    return {row["check"]: row for row in json.loads(result.stdout)}


def test_each_gate_has_its_figure_and_what_is_missing(skills: Run, folder: Path) -> None:
    """For machines a row, with what was computed."""
    past = Past(folder, "triage")
    past.fidelities(10, 0.87)
    past.outcomes(20, wrong=1)

    result = skills("status", "triage", "--format", "json")
    assert result.exit_code == 0
    found = checks(result)
    assert found["fidelity"] == {
        "skill": "triage",
        "state": "prototype",
        "kind": "gate",
        "to_state": "staged",
        "check": "fidelity",
        "about": "mean fidelity",
        "figure": 0.87,
        "threshold": ">= 0.9",
        "met": False,
        "missing": "short by 0.03",
    }
    assert (found["correct"]["figure"], found["correct"]["met"]) == (0.95, True)
    assert found["false_positive_rate"]["missing"] == "1 of 20 outcomes are false positives"
    assert found["critical_false_negatives"]["met"]


def test_people_see_the_state_a_sparkline_and_a_table(skills: Run, folder: Path) -> None:
    """And what to do next, where every gate is met."""
    past = Past(folder, "triage")
    past.promoted("prototype", "staged", age_s=3 * DAY_S)
    past.fidelities(60, 0.9, age_s=3600)
    past.fidelities(60, 1.0)
    past.outcomes(100)
    past.runs(100)

    lines = skills("status", "triage").stdout.splitlines()
    assert lines[0].startswith("triage: staged since 20")
    assert lines[1].startswith("fidelity ▁▁▁")
    assert "██ 0.9 to 1, 20" in lines[1]
    assert lines[3] == "gates to production"
    assert lines[4].split() == ["CHECK", "ABOUT", "FIGURE", "THRESHOLD", "IS", "MISSING"]
    assert lines[5].split() == ["performance_records", "executions", "100", ">=", "100", "met"]
    assert "otel-metrics skills promote triage --approver NAME --ticket TICKET" in lines[-1]


@pytest.mark.parametrize(
    ("spoil", "trigger", "figure"),
    [
        (lambda past: past.fidelities(10, 0.84), "pattern_fidelity_drop", 0.84),
        (lambda past: past.runs(20, raised=2), "high_exception_rate", 0.1),
        (lambda past: past.outcomes(10, wrong=3), "outcome_quality_drop", 0.7),
        (lambda past: past.runs(1, ms=300.1), "high_execution_time", 3.001),
    ],
)
def test_a_trigger_of_a_rollback_is_told_by_the_status(
    skills: Run, folder: Path, spoil: Any, trigger: str, figure: float
) -> None:
    """Of a skill in production: 1 as soon as one fires, 0 before."""
    past = Past(folder, "triage")
    past.runs(100, age_s=DAY_S)
    past.fidelities(10, age_s=DAY_S)
    past.outcomes(10, age_s=DAY_S)
    past.promoted("staged", "production", age_s=DAY_S / 2)
    assert skills("status", "triage").exit_code == 0
    spoil(past)

    result = skills("status", "triage", "--format", "json")
    assert result.exit_code == 1
    firing = [row for row in checks(result).values() if row["met"]]
    assert [(row["kind"], row["check"], row["figure"]) for row in firing] == [
        ("trigger", trigger, figure)
    ]
    assert "FIRES" in skills("status").stdout


def test_all_skills_are_told_without_a_name(skills: Run, folder: Path) -> None:
    """One after the other."""
    Past(folder, "triage").fidelities(1)
    Past(folder, "mail").fidelities(1)

    firsts = [text.splitlines()[0] for text in skills("status").stdout.split("\n\n") if text]
    assert firsts[0] == "mail: prototype"
    assert "triage: prototype" in firsts


def test_a_skill_that_there_is_not_is_wrong_use(skills: Run, ready: Past) -> None:
    """With what was meant."""
    result = skills("status", "tirage")

    assert (result.exit_code, result.stderr) == (
        2,
        "'tirage': no such skill; did you mean triage?\n",
    )


def test_a_name_that_looks_like_a_path_is_a_name(skills: Run, folder: Path, ready: Past) -> None:
    """It leads nowhere else, and to its own file where there is one."""
    (folder.parent / "x_fidelity.json").write_text('{"timestamp": 1, "pattern_fidelity": 1}\n')
    assert skills("status", "../x").exit_code == 2

    Past(folder, "../../etc/passwd", file="%2E.%2F..%2Fetc%2Fpasswd").fidelities(1)
    assert skills("status", "../../etc/passwd").exit_code == 0


def record(skill: str) -> None:
    """Record what makes a skill staged with a low fidelity."""
    recording.record_promotion(skill, from_state="prototype", to_state="staged")
    for number in range(3):
        recording.record_fidelity(skill, patterns_followed=number, patterns_missed=0)
    recording.record_outcome(skill, decision="approve", expected_decision="approve")


def test_without_a_folder_the_archive_answers(archive: Path, tmp_path: Path) -> None:
    """From its events, of one service where that is asked for."""
    for service, skill in (("shop", "triage"), ("bank", "mail")):
        with adding(archive, service=service):
            record(skill)

    def run(*arguments: str) -> Result:
        command = ["skills", "status", "--archive", str(archive), "--format", "json", *arguments]
        return CliRunner().invoke(root, command)

    assert {row["skill"] for row in json.loads(run().stdout)} == {"mail", "triage"}
    found = checks(run("--service", "shop"))
    assert {row["skill"] for row in found.values()} == {"triage"}
    assert found["fidelity_records"]["missing"] == "97 more"
    assert found["fidelity"]["figure"] == pytest.approx(2 / 3)
    assert run("mail", "--service", "shop").exit_code == 2


def test_the_folder_answers_where_both_are_known_and_nothing_counts_twice(
    folder: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed goes before a variable."""
    with adding(archive, service="shop"):
        record("archived")
    Past(folder, "filed").fidelities(1)
    monkeypatch.setenv("OTEL_PYTHON_METRICS_SKILLS_DIR", str(folder))
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_PATH", str(archive))

    def answer(*arguments: str) -> set[str]:
        result = CliRunner().invoke(root, ["skills", "list", "--format", "json", *arguments])
        return {row["skill"] for row in json.loads(result.stdout)}

    assert answer() == {"filed"}
    assert answer("--archive", str(archive)) == {"archived"}
    assert answer("--service", "shop") == {"archived"}
    assert answer("--archive", str(archive), "--skills-dir", str(folder)) == {"filed"}


def test_what_was_imported_from_files_of_the_same_service_counts_once(
    folder: Path, archive: Path
) -> None:
    """Though each stands in the archive as the service wrote it and as it was imported."""
    with adding(archive, service="shop"):
        appender = recording.MetricsAppender(folder)
        for number in range(5):
            appender.append_fidelity_metric("triage", f"e-{number}", 0.9, 9, 1, None, "support")
    runner = CliRunner()
    imported = runner.invoke(root, ["skills", "import", str(folder), "--archive", str(archive)])
    assert imported.exit_code == 0

    result = runner.invoke(root, ["skills", "list", "--archive", str(archive), "--format", "json"])
    assert json.loads(result.stdout)[0]["fidelity"] == 5

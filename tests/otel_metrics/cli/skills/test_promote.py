"""`otel-metrics skills promote`: what it writes, what it refuses, and who wins."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from otel_exporter_ndjson import read
from otel_metrics import skills as recording
from otel_metrics.archive.adding import adding
from otel_metrics.cli.main import root
from tests.otel_metrics.cli.skills.conftest import THRESHOLDS, Run
from tests.otel_metrics.cli.skills.past import Past

APPROVED = ("--approver", "j.doe", "--ticket", "OPS-7")
FIELDS = [
    "event_id",
    "timestamp",
    "timestamp_iso",
    "skill_name",
    "from_state",
    "to_state",
    "approver",
    "approval_ticket",
    "reason",
    "automated_checks",
    "event_type",
]
COMMANDS = 4


def events(archive: Path) -> list[dict[str, Any]]:
    """Return the events of an archive, as their lines say them."""
    return [record.data for record in read(archive, signal="events")]


def test_a_promotion_is_a_record_in_the_log(skills: Run, ready: Past) -> None:
    """In the order of fields that readers know, with the figure of each check."""
    result = skills("promote", "triage", *APPROVED, "--reason", "größer")

    assert result.exit_code == 0, result.stderr
    (record,) = ready.log()
    assert list(record) == FIELDS
    assert record["event_id"] == f"promo_triage_{int(record['timestamp'])}"
    moment = datetime.fromisoformat(record["timestamp_iso"])
    assert record["timestamp_iso"].endswith("Z")
    assert moment.timestamp() == pytest.approx(record["timestamp"], abs=1e-6)
    assert record["automated_checks"] == {
        "fidelity": {"figure": 0.95, "threshold": ">= 0.9", "met": True},
        "correct": {"figure": 0.96, "threshold": ">= 0.85", "met": True},
        "false_positive_rate": {"figure": 0.04, "threshold": "< 0.05", "met": True},
        "critical_false_negatives": {"figure": 0, "threshold": "<= 0", "met": True},
    }
    kept = {key: record[key] for key in ("from_state", "to_state", "approver", "approval_ticket")}
    assert kept == {
        "from_state": "prototype",
        "to_state": "staged",
        "approver": "j.doe",
        "approval_ticket": "OPS-7",
    }
    assert "größer" in (ready.folder / "triage_promotion_log.json").read_text(encoding="utf-8")


def test_a_promotion_is_an_event_in_the_archive(skills: Run, ready: Past, archive: Path) -> None:
    """Of the service that the variable names, at the record's time, under its id."""
    skills("promote", "triage", *APPROVED)

    (record,), (event,) = ready.log(), events(archive)
    assert event["event"] == "skill.promotion"
    assert event["attributes"] == {
        "gen_ai.skill.name": "triage",
        "skill.promotion.from": "prototype",
        "skill.promotion.to": "staged",
        "event_id": record["event_id"],
        "approver": "j.doe",
        "approval_ticket": "OPS-7",
        "reason": "all gates met",
        "automated_checks": record["automated_checks"],
    }
    at, filed = (
        datetime.fromisoformat(text[:26]) for text in (event["time"], record["timestamp_iso"])
    )
    assert abs(at - filed) <= timedelta(microseconds=1)
    assert [path.name for path in (archive / "events").iterdir()] == ["service=shop"]


def test_the_answer_says_what_was_done(skills: Run, ready: Past) -> None:
    """In each form."""
    result = skills("promote", "triage", *APPROVED, "--format", "json")

    (record,) = ready.log()
    assert json.loads(result.stdout) == [
        {
            "skill": "triage",
            "from_state": "prototype",
            "to_state": "staged",
            "event_id": record["event_id"],
            "approver": "j.doe",
            "ticket": "OPS-7",
            "reason": "all gates met",
            "timestamp": record["timestamp_iso"],
            "services": 0,
            "archived": True,
        }
    ]


def test_two_steps_lead_to_production_and_no_further(skills: Run, ready: Past) -> None:
    """Two ids of one second differ."""
    assert [skills("promote", "triage", *APPROVED).exit_code for _ in range(3)] == [0, 0, 1]
    assert [record["to_state"] for record in ready.log()] == ["staged", "production"]
    assert len({record["event_id"] for record in ready.log()}) == 2
    assert "triage: is in production" in skills("promote", "triage", *APPROVED).stderr


def test_a_gate_that_is_not_met_refuses_with_reasons(
    skills: Run, ready: Past, archive: Path
) -> None:
    """And nothing is written anywhere."""
    ready.outcomes(4, wrong=4, expected="block")

    result = skills("promote", "triage", *APPROVED)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "triage: not promoted to staged, 2 of 4 gates are not met:",
        "  false_positive_rate (false positives ÷ outcomes): 8 of 104 outcomes are false positives",
        "  critical_false_negatives (critical decisions missed): 4 were missed",
    ]
    assert (ready.log(), archive.exists()) == ([], False)
    assert not (ready.folder / "triage_promotion_log.json").exists()
    rows = json.loads(skills("promote", "triage", *APPROVED, "--format", "json").stdout)
    assert [row["met"] for row in rows] == [True, True, False, False]


def test_what_nobody_said_cannot_be_computed(skills: Run, ready: Past) -> None:
    """Without thresholds the two gates that need decisions name the key that is missing."""
    (ready.folder / "thresholds.yaml").unlink()

    result = skills("promote", "triage", *APPROVED)
    assert result.exit_code == 1
    assert "positive_decisions is not set; list them" in result.stderr
    assert "critical_decisions is not set; list them" in result.stderr


def test_a_thresholds_file_may_lie_elsewhere(skills: Run, ready: Past, tmp_path: Path) -> None:
    """It goes before the one in the folder."""
    other = tmp_path / "other.yaml"
    other.write_text(THRESHOLDS + "skills: {triage: {staged: {fidelity_min: 0.96}}}\n")

    result = skills("promote", "triage", *APPROVED, "--thresholds", str(other))
    assert (result.exit_code, "short by 0.01" in result.stderr) == (1, True)


@pytest.mark.parametrize("to_state", ["production", "prototype"])
def test_a_step_that_is_none_is_refused(skills: Run, ready: Past, to_state: str) -> None:
    """With the one that there is."""
    result = skills("promote", "triage", *APPROVED, "--to", to_state)

    assert (result.exit_code, ready.log()) == (1, [])
    assert f"triage: is prototype; from there a promotion leads to staged, not to {to_state}" in (
        result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["triage", "--ticket", "T"], "--approver: is missing; "),
        (["triage", "--approver", "a"], "--ticket: is missing; "),
        (["triage", "--approver", " ", "--ticket", "T"], "--approver: is empty"),
        (["triage", "--approver", "a", "--ticket", ""], "--ticket: is empty"),
        ([*APPROVED], "SKILL: is missing; "),
        (
            ["triage", *APPROVED, "--to", "live"],
            "--to=live: is not known; give prototype, staged or production",
        ),
        (["tirage", *APPROVED], "'tirage': no such skill; did you mean triage?"),
        (["../triage", *APPROVED], "'../triage': no such skill"),
        (["", *APPROVED], "SKILL='': is empty; give a name"),
        (["a\0b", *APPROVED], "holds NUL"),
        (["x" * 300, *APPROVED], "give a shorter one"),
    ],
)
def test_wrong_use_changes_nothing(
    skills: Run, ready: Past, arguments: list[str], message: str
) -> None:
    """Status 2, and what to do."""
    result = skills("promote", *arguments)

    assert (result.exit_code, ready.log()) == (2, [])
    assert message in result.stderr


def test_a_decision_needs_a_folder(archive: Path) -> None:
    """The archive alone keeps no log in which one of two would win."""
    with adding(archive, service="shop"):
        recording.record_fidelity("triage", patterns_followed=1, patterns_missed=0)

    command = ["skills", "promote", "triage", *APPROVED, "--archive", str(archive)]
    result = CliRunner().invoke(root, command)
    assert result.exit_code == 2
    assert "give --skills-dir or set OTEL_PYTHON_METRICS_SKILLS_DIR" in result.stderr
    assert len(events(archive)) == 1


def test_the_gates_may_be_computed_from_the_archive(
    skills: Run, folder: Path, archive: Path
) -> None:
    """The decision is written into the folder."""
    with adding(archive, service="shop"):
        recording.record_fidelity("triage", patterns_followed=1, patterns_missed=0)
        recording.record_outcome("triage", decision="reject", expected_decision="reject")
    assert skills("promote", "triage", *APPROVED).exit_code == 2

    result = skills("promote", "triage", *APPROVED, "--records", "archive")
    assert result.exit_code == 0, result.stderr
    assert (folder / "triage_promotion_log.json").exists()


def test_a_name_that_looks_like_a_path_stays_in_the_folder(skills: Run, folder: Path) -> None:
    """Its log lies beside its other files."""
    past = Past(folder, "../../etc/passwd", file="%2E.%2F..%2Fetc%2Fpasswd")
    past.fidelities(1)
    past.outcomes(1)

    assert skills("promote", "../../etc/passwd", *APPROVED).exit_code == 0
    assert [record["skill_name"] for record in past.log()] == ["../../etc/passwd"]
    inside = {path.name for path in folder.parent.rglob("*_promotion_log.json")}
    assert inside == {"%2E.%2F..%2Fetc%2Fpasswd_promotion_log.json"}


def test_without_an_archive_the_decision_holds(folder: Path, ready: Past, tmp_path: Path) -> None:
    """The default archive is not made, and that there is no event is told."""
    command = ["skills", "promote", "triage", *APPROVED, "--skills-dir", str(folder)]
    result = CliRunner().invoke(root, command)

    assert (result.exit_code, len(ready.log())) == (0, 1)
    assert "./telemetry: is no archive, so there is no event" in result.stderr
    assert not (tmp_path / "telemetry").exists()


def test_an_archive_that_takes_nothing_is_told(skills: Run, ready: Past, archive: Path) -> None:
    """The decision holds, and the status says that not all is done."""
    archive.write_text("in the way")

    result = skills("promote", "triage", *APPROVED)
    assert (result.exit_code, len(ready.log())) == (3, 1)
    assert "the event was not added" in result.stderr


def test_whose_event_it_is_must_be_known(
    skills: Run, ready: Past, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the archive is of several services and none is named; nothing is decided."""
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    for service in ("bank", "shop"):
        with adding(archive, service=service):
            recording.record_fidelity("triage", patterns_followed=1, patterns_missed=0)

    result = skills("promote", "triage", *APPROVED)
    assert (result.exit_code, ready.log()) == (2, [])
    assert "bank, shop; say which with --service" in result.stderr
    assert skills("promote", "triage", *APPROVED, "--service", "bank").exit_code == 0


def test_texts_stay_out_where_the_content_rule_says_so(
    skills: Run, ready: Past, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a service that records with the same variable."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_EVENT_CONTENT", "redacted")

    skills("promote", "triage", *APPROVED, "--reason", "for our customer X")
    assert ready.log()[0]["reason"] == "[redacted]"
    assert events(archive)[0]["attributes"]["reason"] == "[redacted]"


@pytest.mark.slow
def test_of_several_at_the_same_moment_exactly_one_wins(
    folder: Path, ready: Past, archive: Path
) -> None:
    """Each is a process of its own; the others are refused, and their approval is nowhere."""
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "otel_metrics",
                "skills",
                "promote",
                "triage",
                *("--approver", f"p{number}", "--ticket", "T", "--to", "staged"),
                *("--skills-dir", str(folder), "--archive", str(archive)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OTEL_SERVICE_NAME": "shop"},
        )
        for number in range(COMMANDS)
    ]
    for each in started:
        each.communicate(timeout=60)

    statuses = [each.returncode for each in started]
    assert sorted(statuses) == [0] + [1] * (COMMANDS - 1)
    assert [record["approver"] for record in ready.log()] == [f"p{statuses.index(0)}"]
    assert len(events(archive)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_leaves_the_log_to_the_folders_owner(skills: Run, ready: Past) -> None:
    """Whose service is to write to it."""
    os.chown(ready.folder, 12_345, 54_321)

    assert skills("promote", "triage", *APPROVED).exit_code == 0
    log = (ready.folder / "triage_promotion_log.json").stat()
    assert (log.st_uid, log.st_gid) == (12_345, 54_321)

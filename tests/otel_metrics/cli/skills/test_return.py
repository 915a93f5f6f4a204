"""`otel-metrics skills rollback` and `demote`: the two ways back."""

from pathlib import Path

import pytest

from otel_exporter_ndjson import read
from tests.otel_metrics.cli.skills.conftest import Run
from tests.otel_metrics.cli.skills.past import DAY_S, Past

DECIDED = ("--approver", "j.doe", "--ticket", "OPS-7", "--reason", "customers complain")
FIELDS = [
    "event_id",
    "timestamp",
    "timestamp_iso",
    "skill_name",
    "from_state",
    "to_state",
    "trigger_reason",
    "trigger_metric",
    "automated",
    "event_type",
]


@pytest.fixture
def past(folder: Path) -> Past:
    """A skill in production whose fidelity has dropped."""
    found = Past(folder, "triage")
    found.promoted("prototype", "staged", age_s=2 * DAY_S)
    found.promoted("staged", "production", age_s=DAY_S)
    found.fidelities(10, 0.5)
    return found


def test_a_rollback_is_a_record_in_the_log(skills: Run, past: Past) -> None:
    """In the order of fields that readers know; who decided stands beside the figures."""
    result = skills("rollback", "triage", *DECIDED)

    assert result.exit_code == 0, result.stderr
    record = past.log()[-1]
    assert list(record) == FIELDS
    assert record["event_id"] == f"rollback_triage_{int(record['timestamp'])}"
    assert {key: record[key] for key in FIELDS[4:]} == {
        "from_state": "production",
        "to_state": "staged",
        "trigger_reason": "customers complain",
        "trigger_metric": {
            "approver": "j.doe",
            "approval_ticket": "OPS-7",
            "pattern_fidelity_drop": 0.5,
        },
        "automated": False,
        "event_type": "rollback",
    }


def test_a_rollback_is_an_event_in_the_archive(skills: Run, past: Past, archive: Path) -> None:
    """Under the id of the record."""
    skills("rollback", "triage", *DECIDED)

    (event,) = [record.data for record in read(archive, signal="events")]
    assert event["event"] == "skill.rollback"
    assert event["attributes"] == {
        "gen_ai.skill.name": "triage",
        "skill.promotion.from": "production",
        "skill.promotion.to": "staged",
        "event_id": past.log()[-1]["event_id"],
        "skill.rollback.automated": False,
        "trigger_reason": "customers complain",
        "trigger_metric": past.log()[-1]["trigger_metric"],
    }


def test_a_demotion_is_a_rollback_to_prototype(skills: Run, past: Past) -> None:
    """Made by a person; from there no way leads further back."""
    assert skills("rollback", "triage", *DECIDED).exit_code == 0
    assert skills("demote", "triage", *DECIDED).exit_code == 0

    record = past.log()[-1]
    assert (record["from_state"], record["to_state"]) == ("staged", "prototype")
    assert (record["automated"], record["event_type"]) == (False, "rollback")
    assert skills("demote", "triage", *DECIDED).exit_code == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("rollback", "triage: is staged, not production; skills demote returns it to prototype"),
        ("demote", "triage: is production, not staged; skills rollback returns it to staged"),
    ],
)
def test_a_step_that_is_none_is_refused(
    skills: Run, past: Past, command: str, message: str
) -> None:
    """With the command that does what is meant, and nothing is written."""
    if command == "rollback":
        skills("rollback", "triage", *DECIDED)
    before = past.log()

    result = skills(command, "triage", *DECIDED)
    assert (result.exit_code, past.log()) == (1, before)
    assert message in result.stderr


@pytest.mark.parametrize("command", ["rollback", "demote"])
def test_a_prototype_is_returned_nowhere(skills: Run, folder: Path, command: str) -> None:
    """It says in which state the skill is, and what can be done with it."""
    Past(folder, "triage").fidelities(1)

    result = skills(command, "triage", *DECIDED)
    assert result.exit_code == 1
    assert result.stderr == (
        "triage: is prototype, the first state, so no step leads back; "
        "skills promote takes it to staged, once its gates are met\n"
    )


@pytest.mark.parametrize("command", ["rollback", "demote"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["triage", *DECIDED[2:]], "--approver: is missing; "),
        (["triage", *DECIDED[:2], *DECIDED[4:]], "--ticket: is missing; "),
        (["triage", *DECIDED[:4]], "--reason: is missing; "),
        (["triage", *DECIDED[:4], "--reason", " "], "--reason: is empty"),
        (["tirage", *DECIDED], "'tirage': no such skill; did you mean triage?"),
    ],
)
def test_wrong_use_changes_nothing(
    skills: Run, past: Past, command: str, arguments: list[str], message: str
) -> None:
    """Status 2."""
    result = skills(command, *arguments)

    assert (result.exit_code, len(past.log())) == (2, 2)
    assert message in result.stderr

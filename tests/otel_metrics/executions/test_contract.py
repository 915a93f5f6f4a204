"""The contract of execution files and their event, as those outside have it.

Nothing of ours is imported: only the command, the files, and what arrives at a broker.
"""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.otel_metrics.executions.conftest import MakeServer
from tests.otel_metrics.executions.nats_server import bodies, listening

pytestmark = pytest.mark.slow

PROGRAM = str(Path(sys.executable).with_name("otel-metrics"))
REQUIRED = ["timestamp", "agent", "success"]
Record = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


@pytest.fixture
def record(project: Path) -> Record:
    """Run `executions record` in the project, as a script does."""

    def run(
        agent: str, *arguments: str, text: str = "", status: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [PROGRAM, "executions", "record", agent, *arguments],
            cwd=project,
            env={"PATH": "/usr/bin:/bin", **variables},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


def records(project: Path, agent: str) -> list[dict[str, Any]]:
    text = (project / ".kaizen/metrics" / agent / "executions.jsonl").read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def summary(project: Path, agent: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (project / ".kaizen/metrics" / agent / "summary.json").read_text()
    )
    return found


def test_a_record_has_the_fields_of_the_contract(project: Path, record: Record) -> None:
    """In its order; what is optional and not known is not there."""
    whole = {
        "primary_metric": {"name": "coverage", "value": 0.91, "target": 0.9},
        "session_id": "s-1",
        "metadata": {"branch": "main", "emoji": "é"},
    }
    record(
        "reviewer",
        *("--success", "--time", "12.5", "--quality", "0.9", "--idempotency-key", "k-1"),
        *("--json", "-"),
        text=json.dumps(whole),
    )
    record("reviewer", "--failure")
    first, second = records(project, "reviewer")

    assert list(first) == [
        *REQUIRED,
        *("execution_time_s", "quality_score", "primary_metric", "session_id", "metadata"),
        "idempotency_key",
    ]
    assert {key: first[key] for key in whole} == whole
    assert (first["agent"], first["success"]) == ("reviewer", True)
    assert (first["execution_time_s"], first["quality_score"]) == (12.5, 0.9)
    assert list(second) == REQUIRED
    assert second["success"] is False
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["timestamp"])
    age = datetime.now(UTC) - datetime.fromisoformat(first["timestamp"])
    assert age.total_seconds() < 60


def test_the_summary_follows_a_file_that_others_have_written(project: Path, record: Record) -> None:
    """Means over all records, trends of the last ten against the ten before."""
    folder = project / ".kaizen/metrics/reviewer"
    folder.mkdir(parents=True)
    old = [
        {"timestamp": "2026-01-01T00:00:00Z", "agent": "reviewer", "success": number % 2 == 0}
        | ({"quality_score": 0.5, "execution_time_s": 2} if number < 10 else {})
        for number in range(19)
    ]
    (folder / "executions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in old))
    record("reviewer", "--success", "--time", "4", "--quality", "0.8")
    found = summary(project, "reviewer")

    assert list(found) == [
        *("execution_count", "success_rate", "avg_quality_score", "avg_execution_time_s"),
        *("last_execution", "trend"),
    ]
    assert found["execution_count"] == 20
    assert found["success_rate"] == pytest.approx(11 / 20)
    assert found["avg_quality_score"] == pytest.approx((10 * 0.5 + 0.8) / 11)
    assert found["avg_execution_time_s"] == pytest.approx((10 * 2 + 4) / 11)
    assert found["last_execution"] == records(project, "reviewer")[-1]["timestamp"]
    assert found["trend"] == {"success_rate": "up", "quality_score": "up"}


def test_a_key_seen_before_is_a_duplicate(
    project: Path, record: Record, nats_server: MakeServer
) -> None:
    """No append, no event, status 0, and it says so; another agent may use the key."""
    server = nats_server()
    with listening(server.url) as messages:
        for agent in ("reviewer", "reviewer", "builder"):
            done = record(
                agent, "--success", "--idempotency-key", "k", "--emit-event", NATS_URL=server.url
            )
            if agent == "reviewer":
                last = done

    assert "duplicate" in last.stdout
    assert len(records(project, "reviewer")) == len(records(project, "builder")) == 1
    assert len(messages) == 2


def test_the_event_has_the_form_of_the_contract(
    project: Path, record: Record, nats_server: MakeServer
) -> None:
    """On the subject of the contract, after the append."""
    server = nats_server()
    with listening(server.url) as messages:
        record("reviewer", "--success", "--quality", "0.9", "--emit-event", NATS_URL=server.url)
        record(
            "reviewer", "--failure", "--emit-event", NATS_URL=server.url, KAIZEN_PROJECT_SLUG="p"
        )
    first, second = bodies(messages)
    identifier, timestamp = first.pop("id"), first.pop("timestamp")

    assert {message.subject for message in messages} == {"activity.kaizen.metrics.recorded"}
    assert first == {
        "type": "kaizen.metrics.recorded",
        "version": "1.0",
        "publisher": "kaizen-agentic",
        "attributes": {
            "agent": "reviewer",
            "project": "desk",
            "summary": {"success_rate": 1.0, "execution_count": 1, "avg_quality": 0.9},
        },
    }
    assert uuid.UUID(identifier).version == 4
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", timestamp)
    assert second["attributes"] == {
        "agent": "reviewer",
        "project": "p",
        "summary": {"success_rate": 0.5, "execution_count": 2, "avg_quality": 0.9},
    }


def test_a_consumer_acts_on_what_it_reads(record: Record, nats_server: MakeServer) -> None:
    """At a success rate below 0.8 with at least five executions, and not before."""
    server = nats_server()
    with listening(server.url) as messages:
        for outcome in ("--failure", "--failure", "--success", "--success", "--success"):
            record("reviewer", outcome, "--emit-event", NATS_URL=server.url)
    acts = []
    for event in bodies(messages):
        found = event["attributes"]["summary"]
        acts.append(found["success_rate"] < 0.8 and found["execution_count"] >= 5)

    assert acts == [False, False, False, False, True]


def test_a_broker_that_is_down_fails_no_append(
    project: Path, record: Record, nats_server: MakeServer
) -> None:
    """Status 0 and a warning; the next publish sends what waits first, in order, once."""
    server = nats_server("-js", started=False)
    down = record("reviewer", "--success", "--emit-event", NATS_URL=server.url)
    record("builder", "--success", "--emit-event", NATS_URL=server.url)
    server.start()
    server.add_stream()
    record("reviewer", "--success", "--emit-event", NATS_URL=server.url)
    kept = [event["attributes"] for _, event in server.kept()]

    assert "Connection refused" in down.stderr
    assert len(records(project, "reviewer")) == 2
    assert [(each["agent"], each["summary"]["execution_count"]) for each in kept] == [
        ("reviewer", 1),
        ("reviewer", 2),
        ("builder", 1),
    ]


def test_a_summary_edited_by_hand_is_put_right(project: Path, record: Record) -> None:
    """It is derived from the file."""
    record("reviewer", "--success")
    path = project / ".kaizen/metrics/reviewer/summary.json"
    path.write_text(json.dumps({**summary(project, "reviewer"), "execution_count": 99}))
    record("reviewer", "--success")

    assert summary(project, "reviewer")["execution_count"] == 2

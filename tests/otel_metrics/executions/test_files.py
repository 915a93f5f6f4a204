"""`ExecutionFiles`: each run once, the summary right, and nothing raised for a disk."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from otel_metrics import events, executions, line_files
from otel_metrics.executions import ExecutionFiles
from otel_metrics.executions.folder import LOST
from otel_metrics.executions.store import StoredExecutions
from otel_metrics.line_files import BadLine
from otel_metrics.lock_waits import HELD_WAIT_S
from otel_metrics.pipeline.logs import StoreProcessor, make_provider
from otel_metrics.testing import Captured
from tests.otel_metrics.held_locks import held, held_for
from tests.torture.figures import NotRunError
from tests.torture.mounts import tmpfs

Bind = Callable[[Path], StoreProcessor]


@pytest.fixture
def files(tmp_path: Path) -> ExecutionFiles:
    return ExecutionFiles(tmp_path)


def folder(tmp_path: Path, agent: str = "reviewer") -> Path:
    return tmp_path / ".kaizen" / "metrics" / agent


def lines(tmp_path: Path, agent: str = "reviewer") -> list[dict[str, Any]]:
    text = (folder(tmp_path, agent) / "executions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def summary(tmp_path: Path) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((folder(tmp_path) / "summary.json").read_text())
    return kept


def test_a_run_is_in_the_file_and_in_the_summary(files: ExecutionFiles, tmp_path: Path) -> None:
    """When the call returns."""
    done = files.append(
        "reviewer",
        success=True,
        execution_time_s=12.5,
        quality_score=0.9,
        session_id="s-1",
        timestamp=1_769_846_400.7,
    )

    assert done is True
    assert lines(tmp_path) == [
        {
            "timestamp": "2026-01-31T08:00:00Z",
            "agent": "reviewer",
            "success": True,
            "execution_time_s": 12.5,
            "quality_score": 0.9,
            "session_id": "s-1",
        }
    ]
    assert summary(tmp_path) == {
        "execution_count": 1,
        "success_rate": 1.0,
        "avg_quality_score": 0.9,
        "avg_execution_time_s": 12.5,
        "last_execution": "2026-01-31T08:00:00Z",
        "trend": {"success_rate": "stable", "quality_score": "stable"},
    }


def test_a_run_is_counted_and_emitted_once(
    files: ExecutionFiles, captured_telemetry: Captured
) -> None:
    """As `executions.record` does, at the time of the run."""
    files.append("reviewer", success=True, quality_score=0.9, timestamp=1_769_846_400)

    assert captured_telemetry.value("agent.executions") == 1
    assert captured_telemetry.event("agent.execution").attributes == {
        "gen_ai.agent.name": "reviewer",
        "agent.execution.success": True,
        "quality_score": 0.9,
    }


def test_a_key_is_in_the_file_once(
    files: ExecutionFiles, tmp_path: Path, captured_telemetry: Captured
) -> None:
    """The second run with it is neither appended nor counted, and is on the disk all the same."""
    first = files.append("reviewer", success=True, idempotency_key="k")
    second = files.append("reviewer", success=False, idempotency_key="k")
    files.append("other", success=True, idempotency_key="k")

    assert (first, second) == (True, True)
    assert len(lines(tmp_path)) == len(lines(tmp_path, "other")) == 1
    assert captured_telemetry.value("agent.executions") == 2


@pytest.mark.parametrize(
    "content",
    [
        '{"execution_count": 99, "success_rate": 0.1}',
        '{"execution_count": 2, "succ',
        "",
        "\0\0\0",
        None,
    ],
)
@pytest.mark.parametrize("how", ["append", "look"])
def test_a_summary_that_is_wrong_is_put_right(
    files: ExecutionFiles, tmp_path: Path, content: str | None, how: str
) -> None:
    """Edited by hand, torn, empty or missing: by the next append, and by who looks at it."""
    files.append("reviewer", success=True)
    path = folder(tmp_path) / "summary.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    if how == "append":
        files.append("reviewer", success=False)
    else:
        files.summary("reviewer")

    assert summary(tmp_path) == files.summary("reviewer")
    assert summary(tmp_path)["execution_count"] == (2 if how == "append" else 1)


def test_a_summary_that_is_a_link_is_replaced(files: ExecutionFiles, tmp_path: Path) -> None:
    """What it led to stays as it is."""
    files.append("reviewer", success=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    path = folder(tmp_path) / "summary.json"
    path.unlink()
    path.symlink_to(elsewhere)
    files.append("reviewer", success=True)

    assert elsewhere.read_text() == "mine"
    assert summary(tmp_path)["execution_count"] == 2


def test_an_agents_folder_that_is_a_link_is_refused(files: ExecutionFiles, tmp_path: Path) -> None:
    """It may lead out of the project; nothing is written behind it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder(tmp_path).parent.mkdir(parents=True)
    folder(tmp_path).symlink_to(elsewhere)

    assert not files.append("reviewer", success=True)
    assert list(elsewhere.iterdir()) == []


def test_a_torn_line_stays_a_line_of_its_own(files: ExecutionFiles, tmp_path: Path) -> None:
    """It is told to who reads, and counts for nothing."""
    files.append("reviewer", success=True)
    with (folder(tmp_path) / "executions.jsonl").open("a") as file:
        file.write('{"timestamp": "2026')
    files.append("reviewer", success=False)
    bad: list[BadLine] = []

    assert [each["success"] for each in files.records("reviewer", bad=bad)] == [True, False]
    assert [line.number for line in bad] == [2]
    assert files.summary("reviewer")["execution_count"] == 2
    assert files.folder.tally("reviewer").skipped == 1


def test_a_name_that_climbs_stays_inside(files: ExecutionFiles, tmp_path: Path) -> None:
    """Its folder lies where all others do, and its records have its name."""
    files.append("../../etc/passwd", success=True)

    assert [path.name for path in (tmp_path / ".kaizen/metrics").iterdir() if path.is_dir()] == [
        "%2E.%2F..%2Fetc%2Fpasswd"
    ]
    assert files.agents() == ["../../etc/passwd"]
    assert [each["agent"] for each in files.records("../../etc/passwd")] == ["../../etc/passwd"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("agent", ""), ("success", "yes"), ("quality_score", 1.1), ("execution_time_s", -1)],
)
def test_what_is_wrong_is_raised_and_touches_nothing(
    files: ExecutionFiles, tmp_path: Path, field: str, value: object
) -> None:
    """Neither files nor counters."""
    given: dict[str, Any] = {"agent": "reviewer", "success": True, field: value}
    with pytest.raises(ValueError, match=field):
        files.append(**given)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("project", ["", "a\0b"])
def test_a_project_that_is_no_path_is_refused(project: str) -> None:
    """When it is given."""
    with pytest.raises(ValueError, match="project_dir="):
        ExecutionFiles(project)


def test_modes_do_not_hang_on_the_umask(files: ExecutionFiles, tmp_path: Path) -> None:
    """Nobody else may write; the group may read."""
    before = os.umask(0)
    try:
        files.append("reviewer", success=True, announce=True)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}

    assert {name: mode for name, mode in modes.items() if not name.startswith(".index")} == {
        ".kaizen": 0o750,
        "metrics": 0o750,
        "reviewer": 0o750,
        "executions.jsonl": 0o640,
        "summary.json": 0o640,
        "outbox.jsonl": 0o640,
    }


def test_a_disk_that_refuses_is_told_and_not_raised(
    files: ExecutionFiles, tmp_path: Path, captured_telemetry: Captured
) -> None:
    """The run is counted, its loss too; what works again is said to be on the disk."""
    (tmp_path / ".kaizen").write_text("in the way")
    lost = sum(LOST.read().values())

    assert files.append("reviewer", success=True) is False
    assert "Not a directory" in str(files.last_error)
    assert sum(LOST.read().values()) == lost + 1
    assert captured_telemetry.value("agent.executions") == 1
    (tmp_path / ".kaizen").unlink()
    assert files.append("reviewer", success=True) is True
    assert files.last_error is None


def test_a_full_disk_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    """Every line is whole, those that were acknowledged are all there, and then it goes on."""
    try:
        with tmpfs(tmp_path, "size=1m") as disk:
            files = ExecutionFiles(disk)
            kept = [
                key
                for key in map(str, range(1_000))
                if files.append("a", success=True, idempotency_key=key, metadata={"x": "y" * 3_000})
            ]
            files.folder.close()
            for path in (disk / ".kaizen/metrics").glob(".index*"):
                path.unlink()
            kept += ["later"] * files.append("a", success=True, idempotency_key="later")
            found = [each["idempotency_key"] for each in files.records("a")]
            bad: list[BadLine] = []
            list(files.records("a", bad=bad))
            files.close()
    except NotRunError as reason:
        pytest.skip(str(reason))

    assert 50 < len(kept) < 1_000
    assert found == kept
    assert kept[-1] == "later"
    assert bad == []


def test_a_lock_that_is_held_costs_the_record_and_not_the_service(
    files: ExecutionFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is told what became of it."""
    files.append("reviewer", success=True)
    monkeypatch.setattr(line_files, "LOCK_WAIT_S", 0.01)
    files = ExecutionFiles(tmp_path)
    with held(folder(tmp_path) / "executions.jsonl"):
        done = files.append("reviewer", success=True)

    assert done is False
    assert "locked by others" in str(files.last_error)
    assert files.append("reviewer", success=True) is True


@pytest.mark.parametrize("other", ["another agent's runs", "the agent's outbox"])
def test_a_lock_that_is_held_makes_nobody_impatient_for_another_file(
    files: ExecutionFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """One agent's file is held for good, another file is in use for a moment: its line comes in."""
    files.append("held", success=True)
    files.append("reviewer", success=True, announce=True)
    name = "executions.jsonl" if other == "another agent's runs" else "outbox.jsonl"
    with held(folder(tmp_path, "held") / "executions.jsonl"):
        monkeypatch.setattr(line_files, "LOCK_WAIT_S", 0.01)
        assert not files.append("held", success=True)
        monkeypatch.undo()
        with held_for(folder(tmp_path) / name, 4 * HELD_WAIT_S):
            kept = files.keep({"agent": "reviewer", "success": True}, announce=True)

    assert kept.trouble is None
    assert len(files.folder.outbox("reviewer").waiting()) == len(lines(tmp_path)) == 2


def test_pruning_takes_old_records_and_nothing_else(files: ExecutionFiles, tmp_path: Path) -> None:
    """The rest stays byte for byte: newer ones, those without a time, what is no record."""
    path = folder(tmp_path) / "executions.jsonl"
    files.append("reviewer", success=False, timestamp=1_000_000, idempotency_key="old")
    with path.open("a") as file:
        file.write('{"success": true}\nnot json\n\n')
    files.append("reviewer", success=True, timestamp=2_000_000, idempotency_key="new")
    kept = path.read_bytes().splitlines(keepends=True)[1:]
    dry = files.folder.prune("reviewer", 2_000_000, dry_run=True)
    pruned = files.folder.prune("reviewer", 2_000_000)

    assert (pruned.removed, pruned.left) == (dry.removed, dry.left) == (1, 3)
    assert path.read_bytes().splitlines(keepends=True) == kept
    assert summary(tmp_path)["execution_count"] == 2
    assert files.keep({"agent": "reviewer", "success": True, "idempotency_key": "new"}).is_duplicate
    assert not files.keep(
        {"agent": "reviewer", "success": True, "idempotency_key": "old"}
    ).is_duplicate


@pytest.fixture
def store() -> Iterator[Bind]:
    """Let events go to a store of a project, until the test is over."""

    def bind(project: Path) -> StoreProcessor:
        provider = make_provider(Resource.get_empty())
        processor = StoreProcessor(StoredExecutions(project))
        provider.add_log_record_processor(processor)
        events.bind(provider)
        return processor

    yield bind
    events.reset()


def test_the_store_keeps_what_is_recorded(tmp_path: Path, store: Bind) -> None:
    """In the same files and form, a key once; what ExecutionFiles has written itself not again."""
    processor = store(tmp_path)
    executions.record("reviewer", success=True, idempotency_key="k", timestamp=1_769_846_400)
    executions.record("reviewer", success=True, idempotency_key="k")
    ExecutionFiles(tmp_path).append("reviewer", success=False, timestamp=1_769_846_401)
    ExecutionFiles(tmp_path / "other").append("reviewer", success=True, timestamp=1_769_846_402)
    processor.shutdown()

    assert [(each["timestamp"], each["success"]) for each in lines(tmp_path)] == [
        ("2026-01-31T08:00:00Z", True),
        ("2026-01-31T08:00:01Z", False),
        ("2026-01-31T08:00:02Z", True),
    ]
    assert processor.lost == {}


def test_the_store_keeps_a_key_that_looks_like_a_secret_once(tmp_path: Path, store: Bind) -> None:
    """And keeps two of them apart, as ExecutionFiles does on the same files."""
    processor = store(tmp_path)
    keys = [f"sk-live-1234567890abcdef{each}" for each in "12"]
    for key in (*keys, *keys):
        executions.record("reviewer", success=True, idempotency_key=key)
        ExecutionFiles(tmp_path).append("reviewer", success=True, idempotency_key=key)
    processor.shutdown()

    assert [each["idempotency_key"][:7] for each in lines(tmp_path)] == ["sha256:"] * 2


def test_the_store_reads_a_link_to_its_project_as_the_project(tmp_path: Path, store: Bind) -> None:
    """An append through the link is not kept twice."""
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "project")
    processor = store(tmp_path / "link")
    ExecutionFiles(tmp_path / "project").append("reviewer", success=True)
    processor.shutdown()

    assert len(lines(tmp_path / "project")) == 1


def test_the_store_leaves_out_an_agent_that_no_folder_can_be_called(
    tmp_path: Path, store: Bind
) -> None:
    """It is counted as rejected, and nothing is raised."""
    processor = store(tmp_path)
    executions.record("é" * 200, success=True)
    processor.shutdown()

    assert not (tmp_path / ".kaizen").exists()
    assert processor.lost == {}


def test_who_only_records_loads_no_files() -> None:
    """They are loaded by who asks for them, under the name of the package."""
    program = """
import sys, otel_metrics
from otel_metrics import executions
later = ["otel_metrics.executions.files", "otel_metrics.line_files"]
print([name for name in later if name in sys.modules])
print(executions.ExecutionFiles.__name__, [name in sys.modules for name in later])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.decode().splitlines() == ["[]", "ExecutionFiles [True, True]"]

"""The contract of the skill files, as a service that moves here calls it and a reader reads it.

Uses the methods by position, the files by name, and the bytes as they are: nothing of ours else.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otel_metrics.skills import MetricsAppender

TIME = 1_772_359_200.123456


def lines(path: Path) -> list[str]:
    """Return the lines of a file as a reader of old splits them."""
    return path.read_text(encoding="utf-8").splitlines()


def test_a_run(tmp_path: Path) -> None:
    """`{skill}_performance.json`, byte for byte."""
    appender = MetricsAppender(tmp_path)
    appender.append_performance_metric("triage", "e1", 184.2, "support", timestamp=TIME)
    appender.append_performance_metric(
        "triage", "e2", 5, "support", True, "ValueError", 12.5, 1_772_359_200.0
    )

    assert lines(tmp_path / "triage_performance.json") == [
        (
            '{"execution_id": "e1", "timestamp": 1772359200.123456, '
            '"timestamp_iso": "2026-03-01T10:00:00.123456Z", "skill_name": "triage", '
            '"agent": "support", "execution_time_ms": 184.2, "exception_occurred": false, '
            '"exception_type": null, "memory_usage_mb": null, "metric_type": "performance"}'
        ),
        (
            '{"execution_id": "e2", "timestamp": 1772359200.0, '
            '"timestamp_iso": "2026-03-01T10:00:00.000000Z", "skill_name": "triage", '
            '"agent": "support", "execution_time_ms": 5, "exception_occurred": true, '
            '"exception_type": "ValueError", "memory_usage_mb": 12.5, "metric_type": "performance"}'
        ),
    ]


def test_an_outcome(tmp_path: Path) -> None:
    """`{skill}_outcomes.json`, byte for byte; what is not ASCII is not escaped."""
    MetricsAppender(tmp_path).append_outcome_metric(
        "YouTube Live Chat", "e1", "grün", None, False, 0.93, "日本語 😀", "support", TIME
    )

    assert lines(tmp_path / "YouTube Live Chat_outcomes.json") == [
        (
            '{"execution_id": "e1", "timestamp": 1772359200.123456, '
            '"timestamp_iso": "2026-03-01T10:00:00.123456Z", "skill_name": "YouTube Live Chat", '
            '"agent": "support", "decision": "grün", "expected_decision": null, "correct": false, '
            '"confidence": 0.93, "reasoning": "日本語 😀", "metric_type": "outcome"}'
        )
    ]


def test_a_fidelity(tmp_path: Path) -> None:
    """`{skill}_fidelity.json`, byte for byte."""
    MetricsAppender(tmp_path).append_fidelity_metric(
        "triage", "e1", 0.75, ["a", "b", "c"], ["d"], {"d": "left out"}, "support", TIME
    )

    assert lines(tmp_path / "triage_fidelity.json") == [
        (
            '{"execution_id": "e1", "timestamp": 1772359200.123456, '
            '"timestamp_iso": "2026-03-01T10:00:00.123456Z", "skill_name": "triage", '
            '"agent": "support", "pattern_fidelity": 0.75, "patterns_followed": ["a", "b", "c"], '
            '"patterns_missed": ["d"], "patterns_detail": {"d": "left out"}, '
            '"metric_type": "fidelity"}'
        )
    ]


def test_moves(tmp_path: Path) -> None:
    """`{skill}_promotion_log.json` holds promotions and rollbacks, byte for byte."""
    appender = MetricsAppender(tmp_path)
    appender.append_promotion_event(
        "triage", "staged", "production", "j.doe", "OPS-1", "gates met", {"fidelity": True}, TIME
    )
    appender.append_rollback_event(
        "triage", "production", "staged", "pattern_fidelity_drop", 0.81, timestamp=TIME
    )

    assert lines(tmp_path / "triage_promotion_log.json") == [
        (
            '{"event_id": "promo_triage_1772359200", "timestamp": 1772359200.123456, '
            '"timestamp_iso": "2026-03-01T10:00:00.123456Z", "skill_name": "triage", '
            '"from_state": "staged", "to_state": "production", "approver": "j.doe", '
            '"approval_ticket": "OPS-1", "reason": "gates met", '
            '"automated_checks": {"fidelity": true}, "event_type": "promotion"}'
        ),
        (
            '{"event_id": "rollback_triage_1772359200", "timestamp": 1772359200.123456, '
            '"timestamp_iso": "2026-03-01T10:00:00.123456Z", "skill_name": "triage", '
            '"from_state": "production", "to_state": "staged", '
            '"trigger_reason": "pattern_fidelity_drop", "trigger_metric": 0.81, "automated": true, '
            '"event_type": "rollback"}'
        ),
    ]


def test_without_a_timestamp_it_is_now(tmp_path: Path) -> None:
    """Both fields say the same moment."""
    before = datetime.now(UTC).timestamp()
    MetricsAppender(tmp_path).append_performance_metric("s", "e", 1.0, "a")
    after = datetime.now(UTC).timestamp()

    (record,) = MetricsAppender(tmp_path).read_metrics("s_performance.json")
    assert before <= record["timestamp"] <= after
    said = datetime.fromisoformat(record["timestamp_iso"]).timestamp()
    assert said == pytest.approx(record["timestamp"], abs=1e-6)


def test_moves_of_one_second_have_ids_of_their_own(tmp_path: Path) -> None:
    """A suffix from the second on, whoever of several writes it."""
    for _ in range(3):
        MetricsAppender(tmp_path).append_promotion_event(
            "s", "prototype", "staged", "a", "t", "r", {}, TIME
        )

    records = MetricsAppender(tmp_path).read_metrics("s_promotion_log.json")
    assert [record["event_id"] for record in records] == [
        "promo_s_1772359200",
        "promo_s_1772359200_2",
        "promo_s_1772359200_3",
    ]


def test_the_last_records_are_read(tmp_path: Path) -> None:
    """As many as asked for; all without a limit, none of none, none of a missing file."""
    appender = MetricsAppender(tmp_path)
    for n in range(5):
        appender.append_performance_metric("s", f"e{n}", float(n), "a")

    def read(limit: int | None) -> list[str]:
        found = appender.read_metrics("s_performance.json", limit)
        return [record["execution_id"] for record in found]

    assert read(2) == ["e3", "e4"]
    assert read(None) == read(100) == ["e0", "e1", "e2", "e3", "e4"]
    assert read(0) == []
    assert appender.read_metrics("other_performance.json") == []


def test_one_bad_line_is_skipped(tmp_path: Path) -> None:
    """The records before and after it are read."""
    appender = MetricsAppender(tmp_path)
    appender.append_performance_metric("s", "e0", 1.0, "a")
    with (tmp_path / "s_performance.json").open("a") as file:
        file.write('{"execution_id": "tor')
    appender.append_performance_metric("s", "e1", 1.0, "a")

    found = appender.read_metrics("s_performance.json")
    assert [record["execution_id"] for record in found] == ["e0", "e1"]


def test_a_skill_name_leaves_the_folder_by_no_means(tmp_path: Path) -> None:
    """`../../etc/passwd` is a file of the folder, like every other skill."""
    folder = tmp_path / "metrics"
    MetricsAppender(folder).append_performance_metric("../../etc/passwd", "e", 1.0, "a")

    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.parent == folder
    assert json.loads(path.read_text())["skill_name"] == "../../etc/passwd"


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 300])
def test_a_name_that_no_file_has_is_refused(tmp_path: Path, name: str) -> None:
    """Empty, with NUL, too long."""
    with pytest.raises(ValueError, match="skill_name"):
        MetricsAppender(tmp_path).append_performance_metric(name, "e", 1.0, "a")

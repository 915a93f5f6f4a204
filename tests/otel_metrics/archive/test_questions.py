"""The ready-made questions give the figures that were recorded."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import Metric

from otel_metrics import archive
from otel_metrics.archive.questions import QUESTIONS
from tests.otel_metrics.archive.recorded import Attributes, histogram, record, total

DAY_S = 86_400
DURATION = "skill.execution.duration"


def _asked(folder: Path, name: str) -> list[Mapping[str, object]]:
    with archive.connect(folder) as db:
        result = db.execute(QUESTIONS[name].sql)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _skill(name: str, **more: str) -> Attributes:
    return {
        "gen_ai.skill.name": name,
        **{key.replace("_", "."): text for key, text in more.items()},
    }


def _outcomes(skill: str, outcome: str, value: int, at_s: float = 10) -> Metric:
    return total(
        value, at_s, name="skill.outcomes", attributes=_skill(skill, skill_outcome=outcome)
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_to_an_empty_archive_has_no_answer(tmp_path: Path, name: str) -> None:
    """And is no error."""
    (tmp_path / ".archive").write_text("x")

    assert _asked(tmp_path, name) == []


def test_what_a_correct_outcome_costs(tmp_path: Path) -> None:
    """All costs of the skill count, of its wrong outcomes too, over restarts."""
    about = _skill("triage", skill_outcome="incorrect")
    for _ in range(2):
        record(
            tmp_path,
            [
                _outcomes("triage", "correct", 4),
                _outcomes("triage", "incorrect", 1),
                total(1.5, 10, name="skill.cost", attributes=about),
            ],
        )

    (row,) = _asked(tmp_path, "cost-per-correct-outcome")

    assert (row["outcomes"], row["correct"], row["cost_usd"]) == (10, 8, 3.0)
    assert (row["cost_per_correct_usd"], row["cost_is"]) == (3.0 / 8, "known")


def test_a_cost_has_six_digits_behind_the_point(tmp_path: Path) -> None:
    """Sums of what computers take for a tenth have seventeen."""
    cost = [
        total(c, 10, name="skill.cost", attributes=_skill("a", n=str(n)))
        for n, c in ((1, 0.1), (2, 0.2))
    ]
    record(tmp_path, [_outcomes("a", "correct", 3), *cost])

    (row,) = _asked(tmp_path, "cost-per-correct-outcome")

    assert (row["cost_usd"], row["cost_per_correct_usd"]) == (0.3, 0.1)


def test_a_cost_that_is_not_known_is_not_zero(tmp_path: Path) -> None:
    """Nor is it known, where tokens had no price."""
    record(
        tmp_path,
        [
            _outcomes("free", "correct", 4),
            _outcomes("paid", "correct", 1),
            total(0.5, 10, name="skill.cost", attributes=_skill("paid", skill_outcome="correct")),
            total(70, 10, name="llm.unpriced_tokens", attributes={"gen_ai.provider.name": "x"}),
        ],
    )

    rows = {row["skill"]: row for row in _asked(tmp_path, "cost-per-correct-outcome")}

    assert (rows["free"]["cost_usd"], rows["free"]["cost_is"]) == (None, "unknown")
    assert rows["free"]["cost_per_correct_usd"] is None
    assert (rows["paid"]["cost_usd"], rows["paid"]["cost_is"]) == (0.5, "at least")
    assert rows["paid"]["unpriced_tokens_of_service"] == 70


def test_the_share_of_sovereign_work_by_hour(tmp_path: Path) -> None:
    """Of all layers together, and of each."""

    def work(layer: str, path: str, value: int, at_s: float) -> Metric:
        about = {"sovereignty.layer": layer, "sovereignty.path": path}
        return total(value, at_s, name="sovereignty.events", attributes=about)

    other = total(
        9, 10, name="sovereignty.events", attributes={"sovereignty.event.type": "api_call"}
    )
    first = [work("perception", "sovereign", 3, 10), work("perception", "model", 1, 10), other]
    later = [work("perception", "sovereign", 3, 3_610), work("decision", "model", 2, 3_610)]
    record(tmp_path, first, later)

    one, two = _asked(tmp_path, "sovereignty-by-hour")

    assert (one["sovereign"], one["model"], one["share"], one["perception"]) == (3, 1, 0.75, 0.75)
    assert (two["sovereign"], two["model"], two["share"], two["decision"]) == (0, 2, 0.0, 0.0)


def test_the_slowest_skills_come_first(tmp_path: Path) -> None:
    """With the bucket that 95 % of their runs stayed below."""
    slow = histogram((0, 19, 1), 100.0, 10, name=DURATION, attributes=_skill("slow"))
    fast = histogram((4, 0, 0), 2.0, 10, name=DURATION, attributes=_skill("fast"))
    late = histogram((0, 0, 2), 90.0, 10, name=DURATION, attributes=_skill("late"))
    record(tmp_path, [fast, slow, late])

    rows = [
        (row["skill"], row["runs"], row["mean_s"], row["p95_at_most_s"])
        for row in _asked(tmp_path, "slowest-skills")
    ]

    assert rows == [("late", 2, 45.0, None), ("slow", 20, 5.0, 10.0), ("fast", 4, 0.5, 1.0)]


def test_the_trend_of_outcomes_is_by_day(tmp_path: Path) -> None:
    """What could not be verified has no part in the share."""
    record(
        tmp_path,
        [_outcomes("triage", "correct", 1), _outcomes("triage", "incorrect", 1)],
        [_outcomes("triage", "correct", 4, DAY_S), _outcomes("triage", "incorrect", 2, DAY_S)],
        [_outcomes("triage", "unverified", 5, DAY_S)],
    )

    one, two = _asked(tmp_path, "outcome-trend")

    assert (one["correct"], one["incorrect"], one["correct_share"], one["change"]) == (
        1,
        1,
        0.5,
        None,
    )
    assert (two["correct"], two["incorrect"], two["unverified"]) == (3, 1, 5)
    assert (two["correct_share"], two["change"]) == (0.75, 0.25)


@pytest.mark.slow
def test_the_answers_are_what_the_demo_says(tmp_path: Path) -> None:
    """Its table counts what it did by itself, without any instrument."""
    demo = [sys.executable, "-m", "otel_metrics", "demo", "--files", "25", "--archive", "a"]
    said = subprocess.run(demo, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    table = {
        line[1]: tuple(map(int, line.groups()[1:]))
        for line in re.finditer(
            r"^(\w+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +[\d.]+ ms$", said, re.M
        )
    }
    shares = re.search(
        r"([\d.]+) % was .*\(perception (\d+) %, decision (\d+) %, narration (\d+) %\)", said
    )

    runs = {
        row["skill"]: (row["runs"], row["errors"])
        for row in _asked(tmp_path / "a", "slowest-skills")
    }
    outcomes = {row["skill"]: row for row in _asked(tmp_path / "a", "outcome-trend")}
    hours = _asked(tmp_path / "a", "sovereignty-by-hour")

    assert table and shares
    for skill, (times, correct, incorrect, unverified, errors) in table.items():
        assert runs[skill] == (times, errors)
        row = outcomes[skill]
        counted = (row["correct"], row["incorrect"], row["unverified"])
        assert counted == (correct, incorrect, unverified)
    if len(hours) == 1:  # not over the turn of an hour
        assert f"{hours[0]['share']:.1%}" == f"{shares[1]}%"
        assert [f"{hours[0][layer]:.0%}" for layer in ("perception", "decision", "narration")] == [
            f"{share}%" for share in shares.groups()[1:]
        ]

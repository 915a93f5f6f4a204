"""The demo's own counts."""

import pytest

from otel_metrics.demo.skill import Answer, Finding
from otel_metrics.demo.tally import SkillTally, Tally

GOOD = Finding(decision="clean", reasoning="")
BAD = Finding(decision="suspect", reasoning="", told="line 1")
CLEAN = Answer(expected="clean", patterns=frozenset())
SUSPECT = Answer(expected="suspect", patterns=frozenset())


@pytest.mark.parametrize(
    ("finding", "answer", "counts"),
    [
        # correct, incorrect, unverified, overlooked, told, confirmed
        (GOOD, CLEAN, (1, 0, 0, 0, 0, 0)),
        (GOOD, SUSPECT, (0, 1, 0, 1, 0, 0)),
        (BAD, SUSPECT, (1, 0, 0, 0, 1, 1)),
        (BAD, CLEAN, (0, 1, 0, 0, 1, 0)),
        (BAD, None, (0, 0, 1, 0, 1, 0)),
    ],
)
def test_an_outcome_counts_once(
    finding: Finding, answer: Answer | None, counts: tuple[int, ...]
) -> None:
    """An outcome is correct, incorrect or unverified; what was told is counted beside it."""
    tally = SkillTally()
    tally.judged(finding, answer, by_rule=True)

    assert (
        tally.correct,
        tally.incorrect,
        tally.unverified,
        tally.overlooked,
        tally.told,
        tally.confirmed,
    ) == counts


def test_confidence_keeps_rule_and_full_analysis_apart() -> None:
    """Each way has a record of its own; what was not verified changes neither."""
    tally = SkillTally()
    tally.judged(GOOD, CLEAN, by_rule=True)
    tally.judged(GOOD, SUSPECT, by_rule=False)
    tally.judged(GOOD, None, by_rule=False)

    assert tally.confidence(by_rule=True) == 2 / 3
    assert tally.confidence(by_rule=False) == 1 / 3


def test_errors_add_up_over_skills() -> None:
    """The session's errors are those of its skills, and a skill without runs has no median."""
    tally = Tally()
    tally.skill("a").ended(1.0, "SyntaxError")
    tally.skill("a").ended(3.0)
    tally.skill("b").ended(2.0, "SyntaxError")

    assert tally.errors == {"SyntaxError": 2}
    assert [tally.skill(name).median_s for name in ("a", "b", "c")] == [2.0, 2.0, 0.0]

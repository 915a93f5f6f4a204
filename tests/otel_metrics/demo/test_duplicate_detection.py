"""Whether a function was seen before."""

from collections.abc import Callable

import pytest

from otel_metrics.demo.duplicate_detection import DuplicateDetection
from otel_metrics.demo.skill import Answer, Finding

Decide = Callable[..., tuple[str, Finding]]
Ask = Callable[..., Answer | None]

TWINS = "def {0}(x):\n    a = x\n    b = a\n    c = b\n    return {1}\n"


@pytest.mark.parametrize(
    ("first", "second", "way", "decision", "expected"),
    [
        (TWINS.format("f", "1"), TWINS.format("f", "2"), "full", "unique", "unique"),
        (TWINS.format("f", "1"), TWINS.format("g", "1"), "full", "duplicate", "duplicate"),
        (TWINS.format("f", "1"), TWINS.format("f", "1"), "rule", "duplicate", "duplicate"),
        (TWINS.format("f", "1"), "x = 1\n", "rule", "unique", "unique"),
        ("def f(): 1\n", "def f(): 1\n", "full", "unique", "unique"),
        (
            TWINS.format("f", "1"),
            TWINS.format("f", "1").replace("):\n", '):  # same\n    """Doc."""\n'),
            "full",
            "duplicate",
            "duplicate",
        ),
        # Tokens tell apart what means the same.
        (TWINS.format("f", "'a'"), TWINS.format("f", '"a"'), "full", "unique", "duplicate"),
    ],
)
def test_duplicate_detection(
    decide: Decide, answer: Ask, first: str, second: str, way: str, decision: str, expected: str
) -> None:
    """A body is recognised under another name, with other comments and docstring."""
    skill = DuplicateDetection()
    decide(skill, first, "first.py")
    answer(skill, first, "first.py")
    decided_by, finding = decide(skill, second, "second.py")
    checked = answer(skill, second, "second.py")

    assert (decided_by, finding.decision) == (way, decision)
    assert checked is not None
    assert checked.expected == expected


def test_a_duplicate_is_told_with_where_it_is_from(decide: Decide) -> None:
    """Whoever reads the report can look it up."""
    skill = DuplicateDetection()
    decide(skill, TWINS.format("f", "1"), "first.py")
    _, finding = decide(skill, TWINS.format("g", "1"), "second.py")

    assert finding.report == "g 1 = first.py"
    assert finding.patterns == frozenset({"g 1"})

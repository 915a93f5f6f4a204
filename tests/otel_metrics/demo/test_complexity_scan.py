"""Whether a file has a function with too many branches."""

from collections.abc import Callable

import pytest

from otel_metrics.demo.complexity_scan import ComplexityScan
from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import perceive
from otel_metrics.demo.skill import Answer, Finding

Decide = Callable[..., tuple[str, Finding]]
Ask = Callable[..., Answer | None]

BRANCHY = "def f(x):\n" + "    if x and x: x = 1\n" * 4
PADDING = "def g(x):\n    if x: x = 1\n"


@pytest.mark.parametrize(
    ("text", "way", "decision", "expected"),
    [
        ("", "rule", "simple", "simple"),
        ("if a: b\n" * 20, "rule", "simple", "simple"),
        (BRANCHY, "rule", "simple", "simple"),
        (BRANCHY * 2 + PADDING * 2, "full", "simple", "simple"),
        (BRANCHY + "    if x or x: y\n" * 2, "rule", "complex", "complex"),
        (BRANCHY + "    if x or x: y\n" * 2 + PADDING * 3, "full", "complex", "complex"),
        # Many small functions hide a complex one; `case` is no keyword.
        (BRANCHY + "    if x or x: y\n" * 2 + "def g(): 1\n" * 30, "rule", "simple", "complex"),
        (
            PADDING * 11 + "def m(x):\n    match x:\n" + "        case 1: pass\n" * 11,
            "full",
            "simple",
            "complex",
        ),
    ],
)
def test_complexity_scan(
    decide: Decide, answer: Ask, text: str, way: str, decision: str, expected: str
) -> None:
    """Few or many branches decide at once, else each function is counted; the tree checks."""
    skill = ComplexityScan()
    decided_by, finding = decide(skill, text)
    checked = answer(skill, text)

    assert (decided_by, finding.decision) == (way, decision)
    assert checked is not None
    assert checked.expected == expected


def test_complexity_scan_and_its_check_count_the_same_branches(answer: Ask) -> None:
    """Two ways to count agree on what both can see."""
    text = (
        "def f(x):\n    for y in x:\n        while y or x: pass\n"
        "    try: pass\n    except E: pass\n    return [a for a in x if a] if x else 0\n"
        "def g(x): return x and x and x\n" + BRANCHY
    )
    sight = perceive(Source("a.py", text.encode()))
    checked = answer(ComplexityScan(), text)

    assert checked is not None
    assert ComplexityScan().analyse(sight).patterns == checked.patterns
    assert checked.patterns == frozenset({"1 7", "7 2", "8 8"})

"""Whether a file compiles: by known forms, by the parser, and by the compiler."""

from collections.abc import Callable

import pytest

from otel_metrics.demo.compile_check import CompileCheck
from otel_metrics.demo.skill import Answer, Finding

Decide = Callable[..., tuple[str, Finding]]
Ask = Callable[..., Answer | None]


@pytest.mark.parametrize(
    ("text", "way", "decision", "expected"),
    [
        ("", "rule", "compiles", "compiles"),
        (
            '"""Doc."""\nimport os\nx = [1]\nx.y()\nnot x\na if b else c\n',
            "rule",
            *["compiles"] * 2,
        ),
        ('"a" "b"\n', "rule", "compiles", "compiles"),
        ("match x:\n    case 1: pass\n", "full", "compiles", "compiles"),
        # What only the compiler knows.
        ("x = 1\nfrom __future__ import annotations\n", "rule", "compiles", "does not compile"),
        ("match x:\n    case 1: return\n", "full", "compiles", "does not compile"),
    ],
)
def test_compile_check(
    decide: Decide, answer: Ask, text: str, way: str, decision: str, expected: str
) -> None:
    """Known forms suffice for a decision; the compiler has the last word."""
    skill = CompileCheck()
    decided_by, finding = decide(skill, text)

    assert (decided_by, finding.decision) == (way, decision)
    assert answer(skill, text) == Answer(expected=expected, patterns=frozenset())


@pytest.mark.parametrize("text", ['print "x"\n', "exec code\n", "x = 1\nraise A, b c\nprint 1\n"])
def test_a_file_that_does_not_parse_raises(decide: Decide, text: str) -> None:
    """Python 2 is tokenized and no program any more: the skill's error is the parser's."""
    with pytest.raises(SyntaxError):
        decide(CompileCheck(), text)

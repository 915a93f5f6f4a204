"""What every skill promises, and the tree that checks look at."""

import ast
import tokenize
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.demo.compile_check import CompileCheck
from otel_metrics.demo.complexity_scan import ComplexityScan
from otel_metrics.demo.duplicate_detection import DuplicateDetection
from otel_metrics.demo.library import Source
from otel_metrics.demo.secret_scan import SecretScan
from otel_metrics.demo.sight import perceive
from otel_metrics.demo.skill import REFUSALS, Answer, Skill, parse

Ask = Callable[..., Answer | None]

NESTED = "".join("    " * n + f"def f{n}():\n" for n in range(9)) + "    " * 9 + "pass\n"


@pytest.mark.parametrize("skill", [ComplexityScan(), DuplicateDetection(), SecretScan()])
def test_what_does_not_parse_has_no_answer(answer: Ask, skill: Skill) -> None:
    """A check that cannot answer says so; the outcome is then unverified."""
    assert answer(skill, 'print "x"\n') is None


STATEMENTS = st.sampled_from(
    [
        "x = 1",
        "def f(a, b=(1, {2: 3})): return a",
        "class C: pass",
        "if x and y: z",
        "for a in b: c",
        "token = 'kJ8sLq2vXz7Wm4Rt9Yb1Nc5Hd'",
        'print "x"',
        "match x",
        "\tbad",
        NESTED,
        "def f(x):\n    a = x\n    b = a\n    c = b\n    return c",
        "def f(x):\n" + "    if x and x: x = 1\n" * 4,
        "(" * 300 + ")" * 300,
        "x" + "+x" * 50,
        "from __future__ import nonsense",
        "f'{a if b else c}'",
    ]
)
PROGRAMS = st.one_of(st.text(), st.lists(STATEMENTS, max_size=8).map("\n".join))


@given(PROGRAMS)
def test_any_text_is_decided_and_checked_or_refused(text: str) -> None:
    """A skill raises what is documented, its rule and its check raise nothing."""
    source = Source("a.py", text.encode("utf-8", "surrogatepass"))
    skills: list[Skill] = [CompileCheck(), ComplexityScan(), DuplicateDetection(), SecretScan()]
    try:
        sight = perceive(source)
    except (SyntaxError, UnicodeError, tokenize.TokenError):
        sight = None
    for skill in skills:
        if sight is not None and skill.rule(sight) is None:
            try:
                skill.analyse(sight)
            except REFUSALS:
                assert skill.name == "compile_check"
        skill.check(source, parse(source))


@given(PROGRAMS)
def test_parsing_is_quiet(text: str) -> None:
    """A library's own warnings are not the demo's; here they would be errors."""
    assert isinstance(parse(Source("a.py", text.encode("utf-8", "replace"))), ast.Module | None)


def test_the_librarys_warnings_stay_quiet() -> None:
    """An invalid escape neither warns nor fails, whatever the filters say."""
    source = Source("a.py", rb"x = '\d'" + b"\n")

    assert parse(source) is not None
    assert CompileCheck().check(source, None).expected == "compiles"

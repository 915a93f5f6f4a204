"""Values of parameters: what a playbook allows, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.catalog.model import Parameter, Playbook
from otel_metrics.remediation.parameters import (
    PLAIN,
    TEXT_CHARS_MAX,
    WHOLE_MAX,
    fault,
    from_text,
    resolve,
)
from otel_metrics.remediation.placeholders import argument, token

WORKERS = Parameter(name="workers", type="integer", brief="", default=2, minimum=1, maximum=50)
TARGET = Parameter(name="target", type="string", brief="")
SPEED = Parameter(name="speed", type="string", brief="", choices=("slow", "fast", "-9"))
PLAYBOOK = Playbook(id="scale", brief="", risk="low", parameters=(WORKERS, TARGET))


def parameter(kind: Any = "string", **limits: Any) -> Parameter:
    """Return a parameter called `p`."""
    return Parameter(name="p", type=kind, brief="", **limits)


def test_the_last_layer_that_has_a_value_decides() -> None:
    """The playbook's default, then the operator's value, then that of the request."""
    found = resolve(PLAYBOOK, {"target": "a", "workers": 3}, {"target": "b"})

    assert found == {"workers": 3, "target": "b"}
    assert resolve(PLAYBOOK, {"target": "a"}) == {"workers": 2, "target": "a"}


def test_every_fault_is_told_at_once() -> None:
    """A line each, with what to do."""
    with pytest.raises(ValueError, match="parameter") as refused:
        resolve(PLAYBOOK, {"wokers": 1, "workers": 51})

    assert str(refused.value).splitlines() == [
        "'wokers': is no parameter of scale; did you mean 'workers'?",
        "workers=51: is above 50; give at most 50",
        "target: is missing; give it a value",
    ]


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (WORKERS, 0, "is below 1; give at least 1"),
        (WORKERS, True, "is a bool; give a whole number"),
        (WORKERS, 2.0, "is a float; give a whole number"),
        (WORKERS, "2", "is a str; give a whole number"),
        (parameter("integer"), 2**70, f"is beyond ±{WHOLE_MAX:,}; give a smaller number"),
        (parameter("number"), float("nan"), f"is beyond ±{WHOLE_MAX:,}; give a smaller number"),
        (parameter("number"), None, "is a NoneType; give a number"),
        (SPEED, "fats", "is none of its choices; did you mean 'fast'?"),
        (SPEED, "x", "is none of its choices; give one of slow, fast, -9"),
        (SPEED, ["slow"], "is a list; give a text"),
        (TARGET, "a/b", f"does not match {PLAIN}; give one that does"),
        (TARGET, "", f"does not match {PLAIN}; give one that does"),
        (TARGET, "a\n", f"does not match {PLAIN}; give one that does"),
        (parameter(pattern="a"), "a\n", "does not match a; give one that does"),
        (parameter(pattern="(?s).*"), "\0", "holds NUL; remove it"),
        (
            parameter(pattern="(?s).*"),
            "\ud800",
            "holds half a character (a lone surrogate); remove it",
        ),
        (
            parameter(pattern=".*"),
            "a" * (TEXT_CHARS_MAX + 1),
            "is longer than 1,024 characters; give a shorter one",
        ),
        (
            parameter(pattern="("),
            "a",
            (
                "cannot be checked: the pattern '(' is none (missing ), unterminated subpattern at "
                "position 0); correct the pattern"
            ),
        ),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(
    declared: Parameter, value: object, expected: str
) -> None:
    """Types are exact, bounds hold, a pattern matches the whole text."""
    assert fault(declared, value) == expected


@pytest.mark.parametrize(
    ("declared", "value"),
    [(WORKERS, 50), (SPEED, "fast"), (TARGET, "host-1.example:80"), (parameter("number"), -0.5)],
)
def test_a_value_that_is_allowed_is_none(declared: Parameter, value: object) -> None:
    """Nothing is to be said of it."""
    assert fault(declared, value) is None


@pytest.mark.parametrize(
    ("declared", "text", "expected"),
    [
        (WORKERS, "3", 3),
        (WORKERS, "three", "three"),
        (WORKERS, "3.5", "3.5"),
        (parameter("number"), "0.5", 0.5),
        (TARGET, "3", "3"),
        (WORKERS, "9" * 5_000, "9" * 5_000),
        (WORKERS, "\u0663", "\u0663"),
    ],
)
def test_a_word_of_a_command_line_becomes_a_number(
    declared: Parameter, text: str, expected: object
) -> None:
    """Where the parameter is one; what is none is left for the check to refuse."""
    assert from_text(declared, text) == expected


@given(value=st.text(max_size=50) | st.integers() | st.floats() | st.none() | st.booleans())
def test_no_value_raises(value: object) -> None:
    """Whatever is given, the answer is a fault or none."""
    for declared in (WORKERS, TARGET, SPEED, parameter("number"), parameter(pattern="(?s).*")):
        assert fault(declared, value) is None or "; " in str(fault(declared, value))


@given(text=st.text(max_size=50))
def test_an_argument_is_the_value_or_refused(text: str) -> None:
    """No character of it is lost, changed or given a meaning."""
    declared = parameter(pattern="(?s).*")
    found = token("${p}", {"p": declared})
    assert found == declared
    if text.startswith("-") or "\0" in text:
        with pytest.raises(ValueError, match="p"):
            argument(found, {"p": text})
    else:
        assert argument(found, {"p": text}) == text


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (SPEED, "-9", "-9"),
        (parameter(pattern="-[0-9]"), "-9", "-9"),
        (parameter("integer", minimum=-10), -9, "-9"),
        (parameter("number", minimum=-10), -0.5, "-0.5"),
        (parameter("integer"), 7, "7"),
    ],
)
def test_a_playbook_may_say_that_a_value_begins_with_a_dash(
    declared: Parameter, value: Any, expected: str
) -> None:
    """In so many words: a choice, a pattern that begins with it, a bound below 0."""
    assert argument(declared, {declared.name: value}) == expected


@pytest.mark.parametrize(
    ("declared", "value"),
    [(parameter(pattern=".*"), "-rf"), (parameter("integer"), -9), (parameter("number"), -0.0)],
)
def test_else_a_value_that_begins_with_a_dash_is_refused(declared: Parameter, value: Any) -> None:
    """A program would take it for an option."""
    with pytest.raises(ValueError, match="begins with '-', as options do"):
        argument(declared, {"p": value})


@given(text=st.text(max_size=20), before=st.text(max_size=3), after=st.text(max_size=3))
def test_a_placeholder_is_a_whole_text_or_refused(text: str, before: str, after: str) -> None:
    """Nothing is put together out of parts."""
    written = f"{before}${{{text}}}{after}"
    if before or after or text != "p":
        with pytest.raises(ValueError, match="; "):
            token(written, {"p": TARGET})
    else:
        assert token(written, {"p": TARGET}) == TARGET

"""An agent's visit to one file."""

from collections.abc import Callable

import pytest

from otel_metrics import testing
from otel_metrics.demo.agent import Agent
from otel_metrics.demo.compile_check import CompileCheck
from otel_metrics.demo.complexity_scan import ComplexityScan
from otel_metrics.demo.desk import Desk
from otel_metrics.demo.duplicate_detection import DuplicateDetection
from otel_metrics.demo.library import Source
from otel_metrics.demo.secret_scan import SecretScan
from otel_metrics.demo.skill import Skill
from otel_metrics.demo.tally import Tally

Read = Callable[[str], Source]


def agent(read: Read, *its_skills: Skill) -> tuple[Agent, Tally]:
    tally = Tally()
    desk = Desk(read, tally, session_id="s-1", clock=iter(range(1000)).__next__)
    return Agent("surveyor", its_skills, desk), tally


@pytest.mark.parametrize(
    ("path", "skill", "outcome"),
    [
        ("a.py", CompileCheck(), "correct"),
        ("future.py", CompileCheck(), "incorrect"),
        ("old.py", ComplexityScan(), "unverified"),
        ("secret.py", SecretScan(), "incorrect"),
    ],
)
def test_an_outcome_is_what_the_check_says(
    read: Read, path: str, skill: Skill, outcome: str
) -> None:
    """The independent answer decides; without one the outcome is unverified."""
    surveyor, _ = agent(read, skill)
    with testing.capture() as seen:
        surveyor.visit(path)

    about = {"gen_ai.skill.name": skill.name, "gen_ai.agent.name": "surveyor"}
    assert seen.value("skill.outcomes", {**about, "skill.outcome": outcome}) == 1
    assert seen.value("skill.outcomes") == 1
    assert str(seen.event("skill.outcome").attributes["reasoning"]).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("old.py", "SyntaxError"),
        ("open.py", "tokenize.TokenError"),
        ("large.py", "otel_metrics.demo.library.SourceTooLargeError"),
    ],
)
def test_an_error_is_recorded_and_the_agent_goes_on(read: Read, path: str, error: str) -> None:
    """What cannot be decided has no outcome, and stops nothing."""
    surveyor, tally = agent(read, CompileCheck())
    with testing.capture() as seen:
        surveyor.visit(path)
        surveyor.visit("a.py")

    about = {"gen_ai.skill.name": "compile_check", "gen_ai.agent.name": "surveyor"}
    assert seen.value("skill.executions", {**about, "error.type": error}) == 1
    assert seen.value("skill.executions") == 2
    assert seen.value("skill.outcomes") == 1
    assert seen.value("pforge.agent.errors", {"agent_type": "surveyor"}) == 1
    assert tally.errors == {error: 1}


def test_an_agent_tells_what_it_found(read: Read) -> None:
    """Nothing is told by a template, something by the model's stand-in."""
    auditor, tally = agent(read, DuplicateDetection(), SecretScan())

    assert auditor.visit("a.py") == "a.py: nothing to report"
    assert auditor.visit("b.py") == "b.py: the same contents as a.py"
    assert auditor.visit("secret.py") == "secret.py: line 1 may hold a secret"
    assert tally.sovereignty["narration_template"] == 1
    assert tally.sovereignty["narration_llm"] == 2


def test_fidelity_compares_what_was_found_with_what_there_was(read: Read) -> None:
    """It is recorded where a full analysis looked for something, and there was something."""
    text = b"if a: b\n" * 9 + (
        b"def f(x):\n    if x and x: y\n"
        b"def g(x):\n    match x:\n        case 1: y\n"  # `case` is no keyword to a token
    )
    surveyor, tally = agent(lambda path: Source(path, text), ComplexityScan())
    with testing.capture() as seen:
        surveyor.visit("a.py")

    counted = tally.skill("complexity_scan")
    assert (counted.followed, counted.missed) == (1, 1)
    assert seen.value("skill.patterns") == 2
    assert seen.value("skill.fidelity") == 0.5


def test_confidence_is_how_often_this_way_was_right_before(read: Read) -> None:
    """It begins at one half and follows the outcomes; nobody guesses it."""
    surveyor, _ = agent(read, CompileCheck())
    with testing.capture() as seen:
        for path in ("a.py", "future.py", "b.py"):
            surveyor.visit(path)

    outcomes = [event for event in seen.events if event.name == "skill.outcome"]
    assert [event.attributes["confidence"] for event in outcomes] == [1 / 2, 2 / 3, 2 / 4]


def test_a_run_takes_as_long_as_the_skill_without_its_check(read: Read) -> None:
    """The clock ticks at each reading: around the run, and around its one model call."""
    surveyor, tally = agent(read, CompileCheck())
    surveyor.visit("a.py")
    surveyor.visit("b.py")

    assert tally.skill("compile_check").durations_s == [3, 1]

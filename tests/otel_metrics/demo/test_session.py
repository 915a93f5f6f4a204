"""A whole session: what is recorded equals what the demo itself counted."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing

import pytest

from otel_metrics import testing
from otel_metrics.demo.library import Source
from otel_metrics.demo.reader import find_library, read_source
from otel_metrics.demo.session import PASS_FILES, Session
from otel_metrics.demo.state import state_of
from otel_metrics.demo.tally import Tally
from otel_metrics.testing import Captured

Read = Callable[[str], Source]


def run(read: Read, paths: list[str]) -> tuple[Tally, Captured]:
    session = Session(read, session_id="s-1")
    with testing.capture() as seen:
        for _ in session.run(paths):
            pass
    return session.tally, seen


def counts(tally: Tally) -> object:
    """Return all of a tally but durations."""
    skills = {
        name: (s.runs, s.correct, s.incorrect, s.unverified, s.errors, s.followed, s.missed)
        for name, s in tally.skills.items()
    }
    calls = (tally.model_calls, tally.input_tokens, tally.output_tokens)
    return skills, calls, tally.files, tally.passes, tally.passes_whole, tally.sovereignty


def recorded(seen: Captured, metric: str, *keys: str) -> Counter[tuple[object, ...]]:
    """Return the sums of a counter by some of its attributes."""
    sums: Counter[tuple[object, ...]] = Counter()
    for point in seen.points(metric):
        value = getattr(point, "value", None)
        assert isinstance(value, int)
        sums[tuple((point.attributes or {}).get(key) for key in keys)] += value
    return sums


def assert_recorded(tally: Tally, seen: Captured) -> None:
    """Assert that every counter and gauge is what the tally says."""
    skills = tally.skills.items()
    errors = recorded(seen, "skill.executions", "error.type")
    runs_without_error = errors.pop((None,))
    assert errors == Counter({(error,): number for error, number in tally.errors.items()})
    assert runs_without_error == sum(s.runs - sum(s.errors.values()) for _, s in skills)
    assert recorded(seen, "skill.executions", "gen_ai.skill.name") == Counter(
        {(name,): skill.runs for name, skill in skills}
    )
    assert recorded(seen, "skill.outcomes", "gen_ai.skill.name", "skill.outcome") == Counter(
        {
            (name, outcome): getattr(skill, outcome)
            for name, skill in skills
            for outcome in ("correct", "incorrect", "unverified")
        }
    )
    assert recorded(seen, "skill.patterns", "skill.pattern.result") == Counter(
        {
            ("followed",): sum(skill.followed for _, skill in skills),
            ("missed",): sum(skill.missed for _, skill in skills),
        }
    )
    assert recorded(seen, "sovereignty.events", "sovereignty.event.type") == Counter(
        {(event_type,): number for event_type, number in tally.sovereignty.items()}
    )
    usage = "gen_ai.client.inference.usage"
    assert seen.value(f"{usage}.input_tokens") == tally.input_tokens
    assert seen.value(f"{usage}.output_tokens") == tally.output_tokens
    assert seen.value("llm.unpriced_tokens") == tally.input_tokens + tally.output_tokens
    assert seen.count("gen_ai.client.inference.duration") == tally.model_calls
    assert recorded(seen, "agent.executions", "agent.execution.success") == Counter(
        {(True,): tally.passes_whole, (False,): tally.passes - tally.passes_whole}
    )
    assert seen.value("pforge.ticks") == tally.passes
    assert seen.value("pforge.agent.errors") == sum(tally.errors.values())
    state = state_of(tally)
    gauges = ("efficiency", "entropy", "gaps", "misfits", "false_pieces")
    assert {name: seen.value(f"pforge.{name}") for name in gauges} == {
        name: state[name] for name in gauges
    }
    assert seen.value("metric.rejected") == 0


def test_what_is_recorded_is_what_was_counted(read: Read, paths: list[str]) -> None:
    """Every counter equals the demo's own tally, with errors, wrong and unverified outcomes."""
    tally, seen = run(read, paths)

    outcomes = {name: (s.correct, s.incorrect, s.unverified) for name, s in tally.skills.items()}
    assert outcomes == {
        "compile_check": (4, 1, 0),
        "complexity_scan": (5, 0, 1),
        "duplicate_detection": (5, 0, 1),
        "secret_scan": (4, 1, 1),
    }
    assert set(tally.errors) == {
        "SyntaxError",
        "otel_metrics.demo.library.SourceTooLargeError",
        "tokenize.TokenError",
    }
    assert_recorded(tally, seen)


@pytest.mark.slow
def test_forty_files_of_the_library_come_to_the_same_twice() -> None:
    """Real input, and sums that can be asserted: two runs differ in nothing but time."""
    library = find_library()
    paths = list(library.paths[:40])
    tally, seen = run(lambda path: read_source(library.root, path), paths)
    again, _ = run(lambda path: read_source(library.root, path), paths)

    assert (tally.files, tally.passes) == (40, 4)
    assert counts(again) == counts(tally)
    assert_recorded(tally, seen)


def test_both_agents_go_through_a_few_files_at_a_time() -> None:
    """The auditor looks at what the surveyor has just seen, so that it is remembered."""
    paths = [f"{number}.py" for number in range(PASS_FILES + 2)]
    session = Session(lambda path: Source(path, path.encode()), session_id="s-1")

    steps = [(step.agent, step.path) for step in session.run(paths)]

    assert steps == [
        (agent, path)
        for batch in (paths[:PASS_FILES], paths[PASS_FILES:])
        for agent in ("surveyor", "auditor")
        for path in batch
    ]
    assert session.tally.sovereignty["perception_vlm_call"] == len(paths)


def test_a_session_that_is_closed_records_the_pass_under_way(read: Read) -> None:
    """Stopping early loses nothing: the pass counts as one that did not visit all of its files."""
    session = Session(read, session_id="s-1")
    with testing.capture() as seen, closing(session.run(["a.py", "b.py"])) as steps:
        next(steps)
        assert seen.value("pforge.agents.active", {"agent_type": "surveyor"}) == 1
        steps.close()

        event = seen.event("agent.execution").attributes
        assert (event["agent.execution.success"], event["idempotency_key"]) == (False, "s-1-1")
        assert event["primary_metric"] == {"name": "files_visited", "value": 1, "target": 2}
        assert seen.value("pforge.agents.active", {"agent_type": "surveyor"}) == 0


def test_a_pass_is_whole_without_errors(read: Read) -> None:
    """An agent that could visit every file succeeded, with the quality of its outcomes."""
    tally, seen = run(read, ["a.py", "future.py"])

    assert (tally.passes, tally.passes_whole) == (2, 2)
    assert (
        seen.value(
            "agent.execution.quality",
            {"gen_ai.agent.name": "surveyor", "agent.execution.success": True},
        )
        == 0.75
    )

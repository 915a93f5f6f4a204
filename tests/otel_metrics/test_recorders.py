"""Recording never raises: every public recorder of every domain, given objects whose methods do."""

import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import efficiency, executions, skills, sovereignty, tokens
from otel_metrics.testing import capture

DOMAINS = (efficiency, executions, skills, sovereignty, tokens)
NO_RECORDERS = (
    *("execution", "current_execution", "configure"),
    *("compute_denominator", "compute_efficiency", "compute_entropy", "compute_numerator"),
    "rollback_reasons",
    *("get_cost_per_hour", "get_skills_crystallized", "get_sovereignty_pct", "snapshot"),
)

METHODS = (
    *("__bool__", "__bytes__", "__contains__", "__eq__", "__float__", "__format__", "__ge__"),
    *("__getattr__", "__getitem__", "__gt__", "__hash__", "__index__", "__int__", "__iter__"),
    *("__le__", "__len__", "__lt__", "__ne__", "__repr__", "__str__", "get", "items", "keys"),
)


def fail(*_: object) -> None:
    """Stand for the caller's own code that fails."""
    raise RuntimeError("hostile")


def hostile(base: type, *arguments: object) -> object:
    """Return an instance of a subclass of `base` whose every method raises."""
    return type(f"Hostile{base.__name__}", (base,), dict.fromkeys(METHODS, fail))(*arguments)


class _Unbound:
    """Like a proxy to what is not there (werkzeug's, Django's): even `isinstance` raises."""

    __class__ = property(fail)


HOSTILE = {
    "object": hostile(object),
    "text": hostile(str, "staged"),
    "integer": hostile(int, 1),
    "number": hostile(float, 0.5),
    "mapping": hostile(dict, {"efficiency": 0.1, "cost_usd": 1}),
    "list": hostile(list, [1]),
    "error": hostile(ValueError, "no"),
    "unbound": _Unbound(),
}

SOUND: dict[str, dict[str, object]] = {
    "agent_error": {"agent_type": "refactorer"},
    "agents_active": {"agent_type": "refactorer", "agents": 1},
    "budget_usage": {"tenant": "acme", "percent": 1},
    "record_fidelity": {"skill": "s", "patterns_followed": 1, "patterns_missed": 0},
    "record_outcome": {"skill": "s", "decision": "a"},
    "record_performance": {"skill": "s", "execution_time_ms": 1},
    "record_plan": {"plan_id": "p", "priority": 1},
    "record_promotion": {"skill": "s", "from_state": "prototype", "to_state": "staged"},
    "record_response": {
        "response": {"model": "gpt-4o", "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
        "provider": "openai",
    },
    "record_rollback": {"skill": "s", "from_state": "production", "to_state": "staged"},
    "recovery_action": {"action_type": "retry"},
    "update_state_gauges": {"state": {"efficiency": 0.1}},
    "start_session": {"session_id": "s-1", "game": "chess"},
    "end_session": {"session_id": "s-1"},
    "executions.record": {"agent": "a", "success": True},
    "sovereignty.record": {"event_type": "api_cost", "metadata": {"cost_usd": 1}},
    "tokens.record": {"provider": "openai", "model": "gpt-4o", "input": 9, "output": 3},
}
"""Arguments that each recorder takes; those without any need none."""


def recorders() -> Iterator[tuple[str, Callable[..., None]]]:
    """Yield every public recorder, by `domain.function`."""
    for domain in DOMAINS:
        for name in domain.__all__:
            found = getattr(domain, name)
            if isinstance(found, FunctionType) and name not in NO_RECORDERS:
                yield f"{_short(domain)}.{name}", found


def _short(domain: ModuleType) -> str:
    return domain.__name__.rpartition(".")[2]


RECORDERS = dict(recorders())
ARGUMENTS = [
    (name, argument)
    for name, recorder in RECORDERS.items()
    for argument in inspect.signature(recorder).parameters
]


def _sound(name: str) -> dict[str, object]:
    return SOUND.get(name, SOUND.get(name.rpartition(".")[2], {}))


@pytest.mark.parametrize("name", RECORDERS)
def test_sound_arguments_are_recorded(name: str) -> None:
    """What the hostile values below stand in for is accepted, so that they meet every step."""
    with capture() as seen:
        RECORDERS[name](**_sound(name))

    assert seen.names() or seen.events


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_hostile_argument_never_raises(name: str, argument: str, kind: str) -> None:
    """Whichever argument it is."""
    with capture(strict=False) as seen:
        RECORDERS[name](**{**_sound(name), argument: HOSTILE[kind]})

    assert seen.names() or seen.events


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", RECORDERS)
def test_in_strict_mode_a_refusal_is_a_value_error(name: str, kind: str) -> None:
    """A test sees the project's own error and none of the caller's objects' making."""
    with capture():
        for argument in inspect.signature(RECORDERS[name]).parameters:
            try:
                RECORDERS[name](**{**_sound(name), argument: HOSTILE[kind]})
            except ValueError as refusal:
                assert "accepted" in str(refusal)  # that there is none is fine, too


@given(data=st.data())
def test_hostile_arguments_never_raise_together(data: st.DataObject) -> None:
    """Any of them, in any places at once."""
    kinds = st.sampled_from(list(HOSTILE))
    with capture(strict=False):
        for name, recorder in RECORDERS.items():
            given_ = {
                argument: HOSTILE[data.draw(kinds)] if data.draw(st.booleans()) else sound
                for argument, sound in _sound(name).items()
            }
            recorder(**given_)


@pytest.mark.parametrize("name", RECORDERS)
def test_arguments_that_a_recorder_does_not_have_are_told(name: str) -> None:
    """A misspelt keyword is a mistake in the program, not in its data: never swallowed."""
    with capture(strict=False), pytest.raises(TypeError, match="no_such_argument"):
        RECORDERS[name](**_sound(name), no_such_argument=1)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_run_goes_on_whatever_it_is_told(kind: str) -> None:
    """Skill, decision, cost and memory of a run; its body ends well, and its error is its own."""
    value = HOSTILE[kind]
    with capture(strict=False) as seen:
        with skills.execution(value, agent=value, version=value):  # type: ignore[arg-type]  # hostile
            pass
        with skills.execution("s", agent=value) as run:  # type: ignore[arg-type]  # hostile
            run.outcome(value, expected=value, confidence=value, reasoning=value)  # type: ignore[arg-type]  # hostile
            run.add_cost(value)  # type: ignore[arg-type]  # hostile
            run.memory_usage_mb = value  # type: ignore[assignment]  # hostile
        with pytest.raises(ValueError, match="its own"), skills.execution("s"):
            raise ValueError("its own")

    assert seen.value("skill.executions", {"gen_ai.skill.name": "s", "error.type": "ValueError"})

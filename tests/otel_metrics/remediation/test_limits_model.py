"""Limits against a model of them, in which every run that was ever made is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_metrics.remediation.model import Limits
from tests.otel_metrics.remediation.desks import HOSTS, Desk, binding, request

HOUR_S = 3600
COOLDOWN_S = 300
PER_HOUR = 3
LIMITS = Limits(
    runs_per_hour=5,
    target_runs_per_hour=2,
    targets_per_hour=3,
    failures_in_a_row=2,
    circuit_pause_s=1800.0,
)


@dataclass(frozen=True)
class Turn:
    """What is done next: time passes, then a playbook is asked for and succeeds or not."""

    wait_s: int
    playbook: str
    target: int
    fails: bool


@dataclass(frozen=True)
class Made:
    """A run that was made."""

    at_s: int
    turn: Turn


TURNS = st.builds(
    Turn,
    wait_s=st.sampled_from([0, 1, 100, 299, 300, 301, 1_000, 1_799, 1_801, 3_599, 3_601]),
    playbook=st.sampled_from(["shift-load", "scale-workers"]),
    target=st.integers(0, 4),
    fails=st.booleans(),
)


def may_run(made: Sequence[Made], now_s: int, turn: Turn) -> bool:
    """Say what the limits say, in the plainest way."""
    own = [each for each in made if each.turn.playbook == turn.playbook]
    last = own[-LIMITS.failures_in_a_row :]
    is_open = len(last) == LIMITS.failures_in_a_row and all(each.turn.fails for each in last)
    of_hour = [each for each in made if each.at_s > now_s - HOUR_S]
    targets = {each.turn.target for each in of_hour}
    return (
        not (is_open and now_s < last[-1].at_s + LIMITS.circuit_pause_s)
        and not any(
            each.turn.target == turn.target and now_s < each.at_s + COOLDOWN_S for each in own
        )
        and sum(each.turn.playbook == turn.playbook for each in of_hour) < PER_HOUR
        and sum(each.turn.target == turn.target for each in of_hour) < LIMITS.target_runs_per_hour
        and len(of_hour) < LIMITS.runs_per_hour
        and (turn.target in targets or len(targets) < LIMITS.targets_per_hour)
    )


@pytest.mark.slow
@given(st.lists(TURNS, max_size=25))
@settings(max_examples=40)
def test_what_runs_is_what_the_limits_allow(turns: list[Turn]) -> None:
    """After whatever happened before, each request runs or is limited as the model says."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        desk = Desk(Path(folder), limits=LIMITS)
        now_s, made = 0, list[Made]()
        for number, turn in enumerate(turns):
            desk.time.move(turn.wait_s)
            now_s += turn.wait_s
            step = desk.program(code=int(turn.fails))
            bound = binding(
                turn.playbook, step, cooldown_s=float(COOLDOWN_S), runs_per_hour=PER_HOUR
            )
            desk.bindings = [bound]
            asked = request(turn.playbook, f"key-{number}", target=HOSTS[turn.target], metric=None)
            allowed = may_run(made, now_s, turn)

            expected = ("failed" if turn.fails else "succeeded") if allowed else "limited"
            assert desk.engine.handle(asked).result == expected
            made += [Made(now_s, turn)] if allowed else []
        desk.engine.stop(0)

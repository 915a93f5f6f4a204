"""One run of a skill: its time, its error, its outcome, its cost."""

import decimal
import signal
from typing import Any

import pytest

from otel_metrics import skills
from otel_metrics.testing import Captured, capture

SKILL = {"gen_ai.skill.name": "triage"}


def _outcome(name: str) -> dict[str, str]:
    return SKILL | {"skill.outcome": name}


def test_an_outcome_inside_a_run_shares_its_id(captured_telemetry: Captured) -> None:
    """The two events of a run can be joined, and carry agent and version."""
    with skills.execution("triage", agent="support", version="2") as run:
        run.outcome("urgent", expected="urgent", confidence=0.9, reasoning="first line")

    performance = captured_telemetry.event("skill.performance").attributes
    outcome = captured_telemetry.event("skill.outcome").attributes
    assert performance["execution_id"] == outcome["execution_id"] == run.id
    assert outcome["gen_ai.agent.name"] == "support"
    assert outcome["gen_ai.skill.version"] == "2"


def test_a_run_without_an_outcome_counts_none(captured_telemetry: Captured) -> None:
    """Nobody said what came of it, so nothing is said."""
    with skills.execution("triage"):
        pass

    assert captured_telemetry.value("skill.executions", SKILL) == 1
    assert captured_telemetry.value("skill.outcomes") == 0


def test_an_exception_gives_no_outcome(captured_telemetry: Captured) -> None:
    """Not even one that was said before; the error is counted, and reaches the caller."""
    with pytest.raises(KeyError), skills.execution("triage") as run:
        run.outcome("urgent", expected="urgent")
        raise KeyError("x")

    assert captured_telemetry.value("skill.executions", SKILL | {"error.type": "KeyError"}) == 1
    assert captured_telemetry.value("skill.outcomes") == 0


def test_the_last_outcome_of_a_run_wins(captured_telemetry: Captured) -> None:
    """A run has one outcome."""
    with skills.execution("triage") as run:
        run.outcome("a", expected="b")
        run.outcome("b", expected="b")

    assert captured_telemetry.value("skill.outcomes") == 1
    assert captured_telemetry.value("skill.outcomes", _outcome("correct")) == 1


def test_what_is_decided_is_kept_as_it_was(captured_telemetry: Captured) -> None:
    """A decision that changes before the run ends is recorded as it was said."""
    decision = ["urgent"]
    with skills.execution("triage") as run:
        run.outcome(decision, expected=["urgent"])
        decision.append("later")

    assert captured_telemetry.event("skill.outcome").attributes["decision"] == ("urgent",)


def test_cost_is_counted_under_the_outcome(captured_telemetry: Captured) -> None:
    """Cost per correct result is a division of two counters. Sums are exact in decimal."""
    with skills.execution("triage") as run:
        run.add_cost(0.1)
        run.add_cost(0.2)
        run.outcome("a", expected="a")

    assert captured_telemetry.value("skill.cost", _outcome("correct")) == 0.3


def test_cost_of_a_failed_run_is_unverified(captured_telemetry: Captured) -> None:
    """It was spent, and nothing came of it."""
    with pytest.raises(KeyError), skills.execution("triage") as run:
        run.add_cost(0.1)
        run.outcome("a", expected="a")
        raise KeyError("x")

    assert captured_telemetry.value("skill.cost", _outcome("unverified")) == 0.1


def test_a_later_outcome_moves_no_cost(captured_telemetry: Captured) -> None:
    """An outcome that comes after the run counts; the cost stays where it was counted."""
    with skills.execution("triage") as run:
        run.add_cost(0.1)
    run.outcome("a", expected="a")

    assert captured_telemetry.value("skill.outcomes", _outcome("correct")) == 1
    assert captured_telemetry.value("skill.cost", _outcome("unverified")) == 0.1
    assert captured_telemetry.value("skill.cost") == 0.1


def test_cost_that_comes_after_the_run_joins_the_rest(captured_telemetry: Captured) -> None:
    """A task that outlives the run still pays for it."""
    with skills.execution("triage") as run:
        run.outcome("a", expected="a")
    run.add_cost(0.1)

    assert captured_telemetry.value("skill.cost", _outcome("correct")) == 0.1


def test_a_run_takes_no_second_outcome_after_its_end() -> None:
    """Outcomes never outnumber runs."""
    with capture(strict=False) as seen:
        with skills.execution("triage") as run:
            run.outcome("a", expected="a")
        run.outcome("b", expected="a")

    assert seen.value("skill.outcomes") == 1
    assert seen.value("metric.rejected") == 1


def test_memory_of_a_run_is_recorded_when_it_is_known(captured_telemetry: Captured) -> None:
    """It is optional."""
    with skills.execution("triage") as run:
        run.memory_usage_mb = 2

    assert captured_telemetry.value("skill.execution.memory", SKILL) == 2 * 1024 * 1024


@pytest.mark.parametrize("cost", ["abc", None, -1, float("nan"), True])
def test_a_cost_that_is_none_is_rejected_and_the_run_goes_on(cost: Any) -> None:
    """What was spent before counts, and so does the run."""
    with capture(strict=False) as seen, skills.execution("triage") as run:
        run.add_cost(0.1)
        run.add_cost(cost)

    assert seen.value("skill.cost") == 0.1
    assert seen.value("skill.executions") == 1
    assert seen.value("metric.rejected") == 1


def test_costs_add_up_whatever_decimals_mean_to_the_service(captured_telemetry: Captured) -> None:
    """A service may trap inexact sums in its own arithmetic, and round to two digits."""
    its_own = decimal.Context(prec=2, traps=[decimal.Inexact])
    with decimal.localcontext(its_own), skills.execution("triage") as run:
        run.add_cost(0.1234)
        run.add_cost(1.2)

    assert captured_telemetry.value("skill.cost") == 1.3234


def test_a_signal_handler_may_add_to_the_run_that_it_interrupts(
    captured_telemetry: Captured,
) -> None:
    """Neither waits for the other: the handler runs inside the call that holds the lock."""
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        run.add_cost(1)
        run.outcome("a")

    before = signal.signal(signal.SIGVTALRM, handle)
    try:
        with skills.execution("triage") as run:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0002, 0.0002)
            while handled < 100:
                run.add_cost(1)
                run.outcome("a")
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

    assert captured_telemetry.value("skill.outcomes") == 1
    assert captured_telemetry.value("skill.cost") > 100

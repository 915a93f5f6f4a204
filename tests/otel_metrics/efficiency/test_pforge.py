"""The module-level metrics: each takes what fits its instrument, and counts what does not."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from otel_metrics import efficiency
from otel_metrics.efficiency import (
    PFORGE_AGENTS_ACTIVE,
    PFORGE_BUDGET_USAGE,
    PFORGE_EFFICIENCY,
    PFORGE_ORCHESTRATOR_TICK_DURATION,
    PFORGE_TICKS,
    PFORGE_TOKENS_USED_TOTAL,
)
from otel_metrics.testing import Captured, capture
from tests.otel_metrics.test_recorders import HOSTILE

GAUGES = ("EFFICIENCY", "ENTROPY", "GAPS", "MISFITS", "FALSE_PIECES", "AGENTS_ACTIVE")
NAMES = [name for name in efficiency.__all__ if name.startswith("PFORGE_")]
REFUSED = [
    *[(f"PFORGE_{name}", "observe") for name in (*GAUGES, "BUDGET_USAGE")],
    *[
        (f"PFORGE_{name}", verb)
        for name in ("TICKS", "AGENT_ERRORS", "PATCHES_APPLIED", "ROLLBACKS", "RECOVERY_ACTIONS")
        for verb in ("set", "dec", "observe")
    ],
    *[("PFORGE_TOKENS_USED_TOTAL", verb) for verb in ("set", "dec", "observe")],
    *[("PFORGE_ORCHESTRATOR_TICK_DURATION", verb) for verb in ("set", "inc", "dec")],
]


def test_a_gauge_is_set_and_moved(captured_telemetry: Captured) -> None:
    """By one where no step is said, from 0 where it was not set."""
    PFORGE_EFFICIENCY.inc(2)
    PFORGE_EFFICIENCY.dec(0.5)
    before = captured_telemetry.value("pforge.efficiency")
    PFORGE_EFFICIENCY.set(1.0)
    PFORGE_EFFICIENCY.inc()

    assert (before, captured_telemetry.value("pforge.efficiency")) == (1.5, 2.0)


def test_a_step_is_made_from_what_a_recorder_set(captured_telemetry: Captured) -> None:
    """Both are the same gauge."""
    efficiency.agents_active("coder", 3)
    PFORGE_AGENTS_ACTIVE.labels("coder").dec()

    assert captured_telemetry.value("pforge.agents.active", {"agent_type": "coder"}) == 2


def test_labels_are_given_by_name_or_in_order(captured_telemetry: Captured) -> None:
    """In the order that the catalog lists them; a value that has no name goes where none is yet."""
    for labelled in (
        PFORGE_TOKENS_USED_TOTAL.labels("openai", "gpt-4o"),
        PFORGE_TOKENS_USED_TOTAL.labels(model="gpt-4o", vendor="openai"),
        PFORGE_TOKENS_USED_TOTAL.labels("openai").labels("gpt-4o"),
        PFORGE_TOKENS_USED_TOTAL.labels("gpt-4o", vendor="openai"),
    ):
        labelled.inc(10)

    (point,) = captured_telemetry.points("pforge.tokens.used")
    assert dict(point.attributes or {}) == {"vendor": "openai", "model": "gpt-4o"}
    assert captured_telemetry.value("pforge.tokens.used") == 40


def test_a_label_that_is_no_text_is_shown_as_text(captured_telemetry: Captured) -> None:
    """As on any page."""
    PFORGE_BUDGET_USAGE.labels(tenant=7).set(12.5)

    assert captured_telemetry.value("pforge.budget.usage", {"tenant": "7"}) == 12.5


def test_a_tick_is_timed_as_a_block_or_a_call(captured_telemetry: Captured) -> None:
    """One that raises took its time too, and its error is its own."""

    @PFORGE_ORCHESTRATOR_TICK_DURATION.time()
    def tick() -> str:
        return "ticked"

    assert tick() == tick() == "ticked"
    with pytest.raises(ValueError, match="its own"), PFORGE_ORCHESTRATOR_TICK_DURATION.time():
        raise ValueError("its own")

    assert captured_telemetry.count("pforge.orchestrator.tick.duration") == 3


@pytest.mark.parametrize(("name", "verb"), REFUSED)
def test_a_method_that_does_not_fit_is_refused(name: str, verb: str) -> None:
    """It does nothing else instead; in strict mode it says what fits."""
    metric = getattr(efficiency, name)
    with capture(strict=False) as seen:
        getattr(metric, verb)(1)
    with capture(), pytest.raises(ValueError, match=rf"accepted is .*, not {verb}\(\): it is a"):
        getattr(metric, verb)(1)

    about = {"metric": metric.name, "reason": "wrong_instrument"}
    assert seen.names() == {"metric.rejected"}
    assert seen.value("metric.rejected", about) == 1


@pytest.mark.parametrize("metric", [PFORGE_AGENTS_ACTIVE, PFORGE_AGENTS_ACTIVE.labels(None)])
def test_a_label_that_is_missing_is_told(metric: Any) -> None:
    """What is recorded without it counts all the same."""
    with capture(strict=False) as seen:
        metric.set(3)
    with capture(), pytest.raises(ValueError, match=r"missing_attribute.*labels\(agent_type=…\)"):
        metric.set(3)

    about = {"metric": "pforge.agents.active", "reason": "missing_attribute"}
    assert seen.value("pforge.agents.active", {}) == 3
    assert seen.value("metric.rejected", about) == 1


@pytest.mark.parametrize("labels", [(["a", "b"], {}), (["a"], {"agent_typ": "b"})])
def test_a_label_that_there_is_not_is_told(labels: tuple[list[str], dict[str, str]]) -> None:
    """By whichever way it is given; the rest is recorded."""
    values, named = labels
    with capture(strict=False) as seen:
        PFORGE_AGENTS_ACTIVE.labels(*values, **named).set(3)

    about = {"metric": "pforge.agents.active", "reason": "unknown_attribute"}
    assert seen.value("pforge.agents.active", {"agent_type": "a"}) == 3
    assert seen.value("metric.rejected", about) == 1


def test_a_counter_never_falls() -> None:
    """Nor counts in parts."""
    with capture(strict=False) as seen:
        PFORGE_TICKS.inc(-1)
        PFORGE_TICKS.inc(0.5)
        PFORGE_TICKS.inc(2.0)

    assert seen.value("pforge.ticks") == 2
    assert seen.value("metric.rejected") == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_raises(name: str, kind: str) -> None:
    """Whatever a label or a value is."""
    value = HOSTILE[kind]
    with capture(strict=False) as seen:
        for metric in (getattr(efficiency, name), getattr(efficiency, name).labels(value, x=value)):
            for verb in ("set", "inc", "dec", "observe"):
                getattr(metric, verb)(value)

    assert seen.names()


@pytest.fixture
def _eager_threads() -> Iterator[None]:
    """Let threads take turns as often as can be, so that a race shows."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_eager_threads")
def test_steps_of_many_threads_all_count(captured_telemetry: Captured) -> None:
    """As many agents end as began, and the rest is at work."""
    active = PFORGE_AGENTS_ACTIVE.labels(agent_type="coder")
    together = threading.Barrier(8)

    def work() -> None:
        together.wait()
        for _ in range(2_000):
            active.inc(2)
            active.dec()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert captured_telemetry.value("pforge.agents.active") == 16_000

"""Handles: what they let through, what they refuse, and the series budget."""

import logging
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_metrics import instruments, rejections, series
from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import Catalog, Metric
from otel_metrics.testing import Captured, capture

SKILL = "gen_ai.skill.name"


def _catalog_with(**changes: object) -> Catalog:
    entry = {
        "name": "test.metric",
        "instrument": "counter",
        "unit": "{item}",
        "brief": "An item.",
        "prometheus": "test_metric_total",
        "value_type": "int",
        "domain": "test",
        "attributes": ("a", "b"),
        **changes,
    }
    base = builtin()
    made = Metric(**entry)  # type: ignore[arg-type]  # the table above, varied by the test
    return Catalog(
        metrics={**base.metrics, made.name: made}, attributes=base.attributes, events=base.events
    )


def test_a_handle_made_before_anything_is_set_up_records_afterwards() -> None:
    """A module may hold its handle from import on."""
    handle = instruments.metric("skill.executions")
    with capture() as seen:
        handle.add(2, {SKILL: "triage"})

    assert seen.value("skill.executions", {SKILL: "triage"}) == 2


def test_the_order_of_attributes_makes_no_second_series(captured_telemetry: Captured) -> None:
    """One set of attributes is one series, in whatever order it is written."""
    handle = instruments.metric("skill.executions")
    for _ in range(2):
        handle.add(1, {SKILL: "x", "gen_ai.agent.name": "y"})
        handle.add(1, {"gen_ai.agent.name": "y", SKILL: "x"})

    assert [point.value for point in captured_telemetry.points("skill.executions")] == [4]  # type: ignore[union-attr]


def test_an_attribute_that_the_catalog_does_not_list_is_dropped_and_counted() -> None:
    """An unlisted attribute never becomes a label; the value still counts."""
    with capture(strict=False) as seen:
        instruments.metric("skill.executions").add(1, {SKILL: "x", "user.id": "42"})

    rejected = {"metric": "skill.executions", "reason": "unknown_attribute"}
    assert seen.value("skill.executions", {SKILL: "x"}) == 1
    assert seen.value("metric.rejected", rejected) == 1


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "1", None, 2**63])
def test_a_bad_value_is_counted_and_the_next_one_recorded(value: object) -> None:
    """What cannot be recorded costs nothing beside it."""
    with capture(strict=False) as seen:
        handle = instruments.metric("skill.executions")
        handle.add(value, {SKILL: "x"})  # type: ignore[arg-type]  # that is the point
        handle.add(1, {SKILL: "x"})

    assert seen.value("skill.executions") == 1
    assert seen.value("metric.rejected") == 1


def test_a_misspelt_metric_says_what_was_meant(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown name never raises, is counted, and its log line suggests the right one."""
    with capture(strict=False) as seen, caplog.at_level(logging.WARNING):
        instruments.metric("skil.executions").add(1)

    assert "did you mean 'skill.executions'?" in caplog.text
    assert seen.value("metric.rejected") == 1


def test_the_wrong_verb_is_refused_and_the_right_one_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`record` on a counter counts as rejected, and the log names `add`."""
    with capture(strict=False), caplog.at_level(logging.WARNING):
        instruments.metric("skill.executions").record(1)

    assert "accepted is add(), not record()" in caplog.text


def test_strict_mode_raises() -> None:
    """In tests a value that cannot be recorded is a `ValueError`."""
    with capture(), pytest.raises(ValueError, match=r"skill\.executions: negative"):
        instruments.metric("skill.executions").add(-1)


def test_ten_thousand_rejections_make_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing logs per record."""
    with capture(strict=False) as seen, caplog.at_level(logging.WARNING):
        for _ in range(10_000):
            instruments.metric("skill.executions").add(-1)

    assert len(caplog.records) == 1
    assert seen.value("metric.rejected") == 10_000


def test_what_is_over_budget_folds_into_one_series_and_names_the_culprit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Past the budget: one overflow series, a counter, one line naming the widest attribute."""
    with capture(strict=False) as seen, caplog.at_level(logging.WARNING):
        instruments.use_catalog(_catalog_with(series_budget=10))
        handle = instruments.metric("test.metric")
        for number in range(100):
            handle.add(1, {"a": "same", "b": f"user-{number}"})
        handle.add(1, {"a": "same", "b": "user-0"})

    assert len(seen.points("test.metric")) == 11
    assert seen.value("test.metric", {"otel.metric.overflow": True}) == 90
    assert seen.value("test.metric", {"a": "same", "b": "user-0"}) == 2
    assert seen.value("metric.overflow", {"metric": "test.metric"}) == 90
    (record,) = caplog.records
    assert record.getMessage() == (
        "test.metric: more than 10 attribute sets; further ones count under "
        "otel.metric.overflow=true. Most values: attribute b, 10 of them. "
        "Give it fewer values, or raise series_budget"
    )


def test_a_text_attribute_given_a_number_becomes_text(captured_telemetry: Captured) -> None:
    """1 and "1" are one series of a text attribute, True another."""
    handle = instruments.metric("skill.executions")
    for value in ("1", 1, True, "true"):
        handle.add(1, {SKILL: value})

    assert captured_telemetry.value("skill.executions", {SKILL: "1"}) == 2
    assert captured_telemetry.value("skill.executions", {SKILL: "true"}) == 2


def test_a_gauge_shows_its_newest_value_until_forgotten(captured_telemetry: Captured) -> None:
    """A gauge is set, set again, and forgotten."""
    gauge = instruments.metric("skill.state")
    attributes = {SKILL: "x", "skill.state": "staged"}
    gauge.set(0, attributes)
    gauge.set(1, attributes)

    assert captured_telemetry.value("skill.state", attributes) == 1

    gauge.forget(attributes)

    assert captured_telemetry.points("skill.state") == []


def test_an_expired_gauge_is_no_longer_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its `ttl` a value is gone; a value set again is there."""
    now = [1000.0]
    monkeypatch.setattr("otel_metrics.instruments.time.monotonic", lambda: now[0])
    with capture() as seen:
        instruments.use_catalog(_catalog_with(instrument="gauge", ttl_s=30.0))
        gauge = instruments.metric("test.metric")
        gauge.set(5, {"a": "x"})
        now[0] += 29
        assert seen.value("test.metric") == 5
        now[0] += 2
        assert seen.points("test.metric") == []
        gauge.set(6, {"a": "x"})
        assert seen.value("test.metric") == 6


def test_a_gauge_is_moved_from_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0 where it has none, or has none any more."""
    now = [1000.0]
    monkeypatch.setattr("otel_metrics.instruments.time.monotonic", lambda: now[0])
    with capture() as seen:
        instruments.use_catalog(_catalog_with(instrument="gauge", ttl_s=30.0))
        gauge = instruments.metric("test.metric")
        gauge.shift(-2, {"a": "x"})
        gauge.shift(7, {"a": "x"})
        assert seen.value("test.metric") == 5
        now[0] += 31
        gauge.shift(1, {"a": "x"})
        assert seen.value("test.metric") == 1


@pytest.mark.parametrize(("value_type", "most"), [("int", 2**63 - 1), ("double", 1.7e308)])
def test_a_gauge_is_not_moved_past_what_can_be_exported(value_type: str, most: float) -> None:
    """It stays where it is, and the step counts as rejected."""
    with capture(strict=False) as seen:
        instruments.use_catalog(_catalog_with(instrument="gauge", value_type=value_type))
        gauge = instruments.metric("test.metric")
        gauge.set(most, {"a": "x"})
        gauge.shift(most, {"a": "x"})

    assert seen.value("test.metric") == most
    assert seen.value("metric.rejected", {"metric": "test.metric", "reason": "out_of_range"}) == 1


def test_a_user_metric_may_be_held_before_its_catalog_is_loaded() -> None:
    """A handle of a name that comes later works from then on."""
    with capture() as seen:
        handle = instruments.metric("test.metric")
        instruments.use_catalog(_catalog_with())
        handle.add(3, {"a": "x"})

    assert seen.value("test.metric", {"a": "x"}) == 3


def test_a_callback_that_raises_leaves_out_its_metric_only() -> None:
    """One broken source does not stop the collection."""

    def broken() -> rejections.Measured:
        raise RuntimeError("down")

    with capture(strict=False) as seen:
        instruments.observe("pipeline.progress.age", broken)
        instruments.metric("skill.executions").add(1)

    assert seen.points("pipeline.progress.age") == []
    assert seen.value("skill.executions") == 1


def test_values_go_to_the_provider_that_is_bound_now() -> None:
    """A second provider takes over; going back to the first revives its gauges."""
    first, second = InMemoryMetricReader(), InMemoryMetricReader()
    providers = [MeterProvider([reader], shutdown_on_exit=False) for reader in (first, second)]
    gauge = instruments.metric("skill.state")
    try:
        for provider in (providers[0], providers[1], providers[0]):
            instruments.bind(provider)
            gauge.set(1, {SKILL: "x", "skill.state": "staged"})
        names = [
            {metric.name for metric in _metrics(reader)} & {"skill.state"}
            for reader in (first, second)
        ]
    finally:
        instruments.reset()

    assert names == [{"skill.state"}, set()]


def _metrics(reader: InMemoryMetricReader):  # type: ignore[no-untyped-def]  # the SDK's own types
    collected = reader.get_metrics_data()
    scopes = collected.resource_metrics[0].scope_metrics if collected else []
    return [metric for scope in scopes for metric in scope.metrics]


def test_many_threads_lose_nothing() -> None:
    """Eight threads that record known and new series at once add up exactly."""
    with capture() as seen:
        handle = instruments.metric("skill.executions")

        def work(number: int) -> None:
            for index in range(2_000):
                handle.add(1, {SKILL: f"s{index % 50}", "gen_ai.agent.name": f"a{number % 2}"})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert seen.value("skill.executions") == 16_000
    assert len(seen.points("skill.executions")) == 100


class Hostile:
    """Raises whatever is done to it."""

    def __hash__(self) -> int:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError


@pytest.mark.parametrize(
    "attributes", [None, {SKILL: Hostile()}, {SKILL: [1]}, [("a", "b")], 7, Hostile()]
)
def test_hostile_attributes_never_raise(attributes: object) -> None:
    """Whatever stands in place of attributes, the call returns and the next one counts."""
    with capture(strict=False) as seen:
        handle = instruments.metric("skill.executions")
        handle.add(1, attributes)  # type: ignore[arg-type]  # that is the point
        handle.add(1, {SKILL: "x"})

    assert seen.value("skill.executions", {SKILL: "x"}) == 1


def test_a_forked_child_has_a_budget_of_its_own() -> None:
    """What the parent used up is not held against the child, whose series start from nothing."""
    with capture(strict=False) as seen:
        instruments.use_catalog(_catalog_with(series_budget=2))
        handle = instruments.metric("test.metric")
        handle.add(1, {"a": "1"})
        handle.add(1, {"a": "2"})
        instruments.reset_after_fork()
        handle.add(1, {"a": "3"})

    assert seen.value("test.metric", {"a": "3"}) == 1


def test_forgetting_what_was_never_set_changes_nothing() -> None:
    """`forget` spends no budget and touches no other series, the overflow series included."""
    with capture(strict=False) as seen:
        instruments.use_catalog(_catalog_with(instrument="gauge", series_budget=1))
        gauge = instruments.metric("test.metric")
        gauge.set(1, {"a": "1"})
        gauge.set(2, {"a": "2"})
        gauge.forget({"a": "3"})

    assert seen.value("test.metric", {"otel.metric.overflow": True}) == 2
    assert seen.value("metric.overflow") == 1


VERBS = {"counter": "add", "histogram": "record", "gauge": "set"}


def _race(call: Callable[[int], None], *, threads: int, calls: int) -> None:
    """Call with 0, 1, … from threads that give way to one another at every line of the budget."""

    def give_way(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename != series.__file__:
            return None
        time.sleep(0)
        return give_way

    def work() -> None:
        for number in range(calls):
            call(number)

    started = [threading.Thread(target=work) for _ in range(threads)]
    threading.settrace(give_way)
    try:
        for thread in started:
            thread.start()
    finally:
        threading.settrace(None)
    for thread in started:
        thread.join()


@pytest.mark.parametrize("instrument", ["counter", "histogram"])
def test_a_race_to_the_budget_never_exceeds_it_and_loses_nothing(
    instrument: str,
) -> None:
    """Sixteen threads that bring the same new sets at once fill the budget exactly, once."""
    buckets = (1.0,) if instrument == "histogram" else ()
    with capture(strict=False) as seen:
        instruments.use_catalog(
            _catalog_with(instrument=instrument, buckets=buckets, series_budget=100)
        )
        call = getattr(instruments.metric("test.metric"), VERBS[instrument])
        _race(lambda number: call(1, {"a": f"x{number}"}), threads=16, calls=200)

    overflow = {"otel.metric.overflow": True}
    assert len(seen.points("test.metric")) == 101
    assert seen.value("test.metric") == 16 * 200
    assert seen.value("test.metric", overflow) == 16 * 100
    assert seen.value("metric.overflow", {"metric": "test.metric"}) == 16 * 100


def test_a_race_to_a_gauges_budget_never_exceeds_it() -> None:
    """Each gauge of the budget has its value, and the others share one."""
    with capture(strict=False) as seen:
        instruments.use_catalog(_catalog_with(instrument="gauge", series_budget=100))
        gauge = instruments.metric("test.metric")
        _race(lambda number: gauge.set(number, {"a": f"x{number}"}), threads=16, calls=200)

    kept = {point.attributes["a"]: point.value for point in seen.points("test.metric")[:100]}  # type: ignore[index, union-attr]
    assert kept == {f"x{number}": number for number in kept.values()}
    assert len(seen.points("test.metric")) == 101
    assert seen.value("metric.overflow") == 16 * 100


def test_a_gauges_budget_counts_every_set_that_ever_was() -> None:
    """A set that was forgotten has used its place: the SDK keeps it, too."""
    with capture(strict=False) as seen:
        instruments.use_catalog(_catalog_with(instrument="gauge", series_budget=2))
        gauge = instruments.metric("test.metric")
        for number in range(3):
            gauge.set(number, {"a": f"x{number}"})
            gauge.forget({"a": f"x{number}"})
        gauge.set(7, {"a": "x1"})

    assert seen.value("test.metric", {"a": "x1"}) == 7
    assert seen.value("test.metric", {"otel.metric.overflow": True}) == 2


def test_a_gauge_is_forgotten_by_what_it_was_set_with() -> None:
    """A number given to a text attribute names the same series both times."""
    with capture() as seen:
        gauge = instruments.metric("skill.state")
        gauge.set(1, {SKILL: 7, "skill.state": "staged"})
        gauge.forget({"skill.state": "staged", SKILL: 7})

    assert seen.points("skill.state") == []


def test_a_forgetting_that_cannot_be_understood_never_raises() -> None:
    """`forget` takes hostile attributes as the other verbs do."""
    with capture(strict=False) as seen:
        instruments.metric("skill.state").forget(7)  # type: ignore[arg-type]  # that is the point

    rejected = {"metric": "skill.state", "reason": "bad_attributes"}
    assert seen.value("metric.rejected", rejected) == 1


def test_every_call_with_an_unlisted_attribute_is_counted() -> None:
    """What is dropped is counted each time, however often the same call is made."""
    with capture(strict=False) as seen:
        for _ in range(3):
            instruments.metric("skill.executions").add(1, {SKILL: "x", "user.id": "42"})

    rejected = {"metric": "skill.executions", "reason": "unknown_attribute"}
    assert seen.value("metric.rejected", rejected) == 3


@pytest.mark.parametrize(
    ("instrument", "folded"), [("counter", 9 + 8), ("updowncounter", 9 + 8), ("gauge", 8)]
)
def test_what_callbacks_bring_has_a_budget_too(instrument: str, folded: int) -> None:
    """Past it the sets become one: counters added, of gauges the newest."""
    with capture(strict=False) as seen:
        instruments.use_catalog(
            _catalog_with(instrument=instrument, observable=True, series_budget=2)
        )
        measured = [(1, {"a": "w"}), (2, {"a": "x"}), (9, {"a": "y"}), (8, {"a": "z"})]
        instruments.observe("test.metric", lambda: measured)
        values = {point.attributes.get("a"): point.value for point in seen.points("test.metric")}  # type: ignore[union-attr]

    assert values == {"w": 1, "x": 2, None: folded}


def test_names_made_from_data_grow_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand metric names leave a thousand counts, the rest together, and twenty lines."""
    with capture(strict=False) as seen, caplog.at_level(logging.WARNING):
        for number in range(10_000):
            instruments.metric(f"user.{number}").add(1)

    assert len(seen.points("metric.rejected")) == rejections.KINDS_MAX + 1
    assert seen.value("metric.rejected") == 10_000
    assert len(caplog.records) == rejections.LOG_LINES_MAX


def test_metrics_over_their_limit_grow_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand of a service's own that overflow are counted, a thousand of them by name."""
    with capture(strict=False) as seen, caplog.at_level(logging.WARNING):
        for number in range(10_000):
            rejections.overflow(f"user.{number}", 10, list)

    assert len(seen.points("metric.overflow")) == rejections.KINDS_MAX + 1
    assert seen.value("metric.overflow") == 10_000
    assert len(caplog.records) == rejections.LOG_LINES_MAX

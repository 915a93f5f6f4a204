"""What a service sees of sources that answer, fail, hang and change."""

import itertools
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from otel_metrics import service
from otel_metrics.service.samples import Resource, Sample
from otel_metrics.testing import Captured
from tests.e2e.services import PATIENCE_S, until
from tests.otel_metrics.service.sampling import ERRORS, declared, sampling

METRIC = "executor.queue_depth"
OTHER = "learning.sessions_started"


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a source waits for that hangs; opened with the test's end."""
    event = threading.Event()
    yield event
    event.set()


def errors(captured: Captured, kind: str, metric: str = METRIC, source: str = "callable") -> float:
    """Return how many samples a source did not give for one reason."""
    about = {"service.metric": metric, "service.source": source, "error.type": kind}
    return captured.value(ERRORS, about)


def test_a_sample_has_value_band_resource_and_time(captured_telemetry: Captured) -> None:
    """What a function returns by resource is a sample of each, in its band, at the time of the
    answer."""
    service.register(METRIC, lambda: {"mail": 80, "orders": 10})
    began = time.time()
    with sampling(declared()) as kept:
        until(lambda: len(kept.samples) >= 2)

    first = {sample.resource: sample for sample in kept.samples[:2]}
    assert first == {
        Resource("queue", "mail"): Sample(
            metric=METRIC,
            resource=Resource("queue", "mail"),
            value=80.0,
            observed_at=kept.samples[0].observed_at,
            band="critical",
        ),
        Resource("queue", "orders"): Sample(
            metric=METRIC,
            resource=Resource("queue", "orders"),
            value=10.0,
            observed_at=kept.samples[0].observed_at,
            band="good",
        ),
    }
    assert began <= kept.samples[0].observed_at <= time.time()


def test_a_gauge_shows_the_latest_values(captured_telemetry: Captured) -> None:
    """One series a resource, under the metric's own name."""
    service.register(METRIC, lambda: {"mail": 80, "orders": 10.5})
    with sampling(declared()):
        until(lambda: len(captured_telemetry.points(METRIC)) == 2)
        mail = captured_telemetry.value(METRIC, {"service.resource.id": "mail"})
        orders = captured_telemetry.value(METRIC, {"service.resource.id": "orders"})

    assert (mail, orders) == (80.0, 10.5)


@pytest.mark.parametrize(
    ("scope", "expected"), [("host", "host-1"), ("service", "shop"), ("subsystem", "executor")]
)
def test_a_value_without_a_resource_is_of_its_scope(
    captured_telemetry: Captured, scope: str, expected: str
) -> None:
    """The host, the service, or else the subsystem that the metric's name begins with."""
    service.register(METRIC, lambda: 1)
    with sampling(declared(scope=scope)) as kept:
        until(lambda: kept.samples)

    assert kept.samples[0].resource == Resource(scope, expected)


def test_each_metric_is_asked_at_its_own_interval(captured_telemetry: Captured) -> None:
    """Each at once, and one of a long interval not again while another is asked many times."""
    asked: list[str] = []
    service.register(METRIC, lambda: asked.append(METRIC))
    service.register(OTHER, lambda: asked.append(OTHER))
    with sampling(declared(interval_s=0.05), declared(OTHER, interval_s=1_000.0)):
        until(lambda: asked.count(METRIC) >= 10)

    assert asked.count(OTHER) == 1


def test_a_sample_is_an_event(captured_telemetry: Captured) -> None:
    """With the fields that records of a sample have, and the trend since the one before."""
    numbers = itertools.count(30)
    service.register(METRIC, lambda: next(numbers))
    with sampling(declared(unit_name="count", aggregation="max", interval_s=0.5)) as kept:
        until(lambda: len(kept.samples) >= 2)

    first, second = [e.attributes for e in captured_telemetry.events if e.name == "service.sample"][
        :2
    ]
    payload = second["payload"]
    assert isinstance(payload, dict)
    observed_at = payload.pop("observed_at")
    assert str(observed_at).endswith("Z")
    assert payload == {
        "metric_id": METRIC,
        "value": 31.0,
        "unit": "count",
        "aggregation": "max",
        "interval_seconds": 0.5,
        "thresholds": {"good": {"upper": 25.0}, "critical": {"lower": 75.0}},
        "computed_band": "warning",
        "trend": "rising",
        "annotations": {"prometheus": "executor_queue_depth"},
    }
    assert {key: value for key, value in second.items() if key != "payload"} == {
        "event_type": f"metrics.{METRIC}",
        "source": "callable",
        "actor": "shop",
        "resource": {"scope": "queue", "id": "executor"},
    }
    assert "'trend': 'unknown'" in str(first["payload"])


def test_a_source_that_hangs_delays_no_other(
    captured_telemetry: Captured, gate: threading.Event
) -> None:
    """The other is sampled on, and the one that hangs is asked once."""
    asked: list[float] = []

    def hang() -> float:
        asked.append(time.monotonic())
        gate.wait(PATIENCE_S)
        return 1

    service.register(OTHER, hang)
    service.register(METRIC, lambda: 7)
    with sampling(declared(), declared(OTHER, timeout_s=0.1)) as kept:
        until(lambda: len(kept.samples) >= 10)
        until(lambda: errors(captured_telemetry, "timeout", OTHER) >= 2)

        assert {sample.metric for sample in kept.samples} == {METRIC}
        assert len(asked) == 1


def test_a_value_vanishes_when_its_source_hangs(
    captured_telemetry: Captured, gate: threading.Event
) -> None:
    """No stale value is shown; it is counted, and missed once an interval."""
    gate.set()

    def read() -> float:
        gate.wait(PATIENCE_S)
        return 5

    service.register(METRIC, read)
    with sampling(declared(timeout_s=0.2)) as kept:
        until(lambda: captured_telemetry.points(METRIC))
        gate.clear()
        until(lambda: not captured_telemetry.points(METRIC))
        until(lambda: kept.missed.count((METRIC, "executor", "timeout")) >= 2)

        assert kept.values() == {}
        assert errors(captured_telemetry, "timeout") >= 2


def test_an_answer_that_comes_too_late_is_not_used(
    captured_telemetry: Captured, gate: threading.Event
) -> None:
    """The next one in time is."""
    answers = itertools.count(1)

    def read() -> float:
        number = next(answers)
        if number == 1:
            gate.wait(PATIENCE_S)
        return number

    service.register(METRIC, read)
    with sampling(declared(timeout_s=0.2)) as kept:
        until(lambda: errors(captured_telemetry, "timeout") >= 1)
        gate.set()
        until(lambda: kept.samples)

    assert kept.samples[0].value > 1


@pytest.mark.slow
def test_a_value_expires_when_its_samples_are_not_handed_on(
    captured_telemetry: Captured, gate: threading.Event
) -> None:
    """Whoever takes samples and hangs holds up the sampler, and leaves no stale value."""
    service.register(METRIC, lambda: 5)

    def hang(_: Sample) -> None:
        gate.wait(PATIENCE_S)

    with sampling(declared(timeout_s=2.0), on_sample=hang):
        until(lambda: captured_telemetry.points(METRIC))
        until(lambda: not captured_telemetry.points(METRIC))
        gate.set()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, "12", True, 10**400, [1]])
def test_what_is_no_finite_number_is_counted_and_not_shown(
    captured_telemetry: Captured, number: float
) -> None:
    """The values of other resources are."""
    service.register(METRIC, lambda: {"mail": number, "orders": 3})
    with sampling(declared()) as kept:
        until(lambda: errors(captured_telemetry, "not_a_number") >= 1)
        until(lambda: kept.missed)

    assert {sample.resource.id for sample in kept.samples} == {"orders"}
    assert set(kept.missed) == {(METRIC, "mail", "not_a_number")}


@pytest.mark.parametrize("number", [3, 3.0, Decimal(3)])
def test_every_kind_of_number_is_taken(captured_telemetry: Captured, number: float) -> None:
    """Whole, floating, and what a database returns."""
    service.register(METRIC, lambda: number)
    with sampling(declared()) as kept:
        until(lambda: kept.samples)

    assert kept.samples[0].value == 3.0


def test_nothing_to_tell_is_no_value_and_no_error(captured_telemetry: Captured) -> None:
    """A share of nothing is missed, not shown, and not counted as an error."""
    service.register(METRIC, lambda: None)
    with sampling(declared()) as kept:
        until(lambda: kept.missed)

    assert kept.missed[0] == (METRIC, "executor", "no_value")
    assert captured_telemetry.points(ERRORS) == []
    assert captured_telemetry.points(METRIC) == []


def test_a_resource_that_is_gone_is_missed_once(captured_telemetry: Captured) -> None:
    """Its value vanishes with the first answer without it."""
    answers = itertools.chain([{"mail": 1, "orders": 2}], itertools.repeat({"orders": 3}))
    service.register(METRIC, lambda: next(answers))
    with sampling(declared()) as kept:
        until(lambda: len(kept.samples) >= 6)

        assert kept.values() == {"orders": 3}
    assert kept.missed == [(METRIC, "mail", "no_value")]


def test_a_function_that_raises_breaks_nothing(
    captured_telemetry: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted each time, said once, and once more when it returns again."""
    broken = True

    def read() -> float:
        if broken:
            raise LookupError("no such pod")
        return 1

    service.register(METRIC, read)
    with caplog.at_level(logging.INFO), sampling(declared()) as kept:
        until(lambda: errors(captured_telemetry, "exception") >= 3)
        broken = False
        until(lambda: kept.samples)

    assert [record.getMessage() for record in caplog.records] == [
        f"{METRIC}: its callable source gives no value (exception): LookupError: no such pod",
        f"{METRIC}: its callable source answers again",
    ]


def test_who_takes_samples_and_raises_stops_nothing(
    captured_telemetry: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """The gauge shows its value, the next samples are taken, and one line says so."""

    def refuse(_: Sample) -> None:
        raise OSError("disk full")

    service.register(METRIC, lambda: 5)
    with sampling(declared(), on_sample=refuse) as kept:
        until(lambda: len(kept.samples) >= 3)
        assert captured_telemetry.value(METRIC) == 5

    assert caplog.text.count("disk full") == 1


def test_more_resources_than_are_taken_are_refused_whole(captured_telemetry: Captured) -> None:
    """A part of them would pass for all."""
    service.register(METRIC, lambda: dict.fromkeys(map(str, range(1_001)), 1))
    with sampling(declared()) as kept:
        until(lambda: errors(captured_telemetry, "too_many_resources") >= 1)

    assert kept.samples == []


@pytest.mark.slow
def test_a_function_registered_later_is_asked_and_one_that_is_taken_back_is_not(
    captured_telemetry: Captured,
) -> None:
    """Without a restart; with the function its values go."""
    with sampling(declared()) as kept:
        service.register(METRIC, lambda: 5)
        until(lambda: kept.values() == {"executor": 5})
        service.register(METRIC, lambda: 6)
        until(lambda: kept.values() == {"executor": 6})
        service.unregister(METRIC)
        until(lambda: kept.values() == {})


@pytest.mark.slow
def test_a_function_that_takes_the_place_of_another_leaves_no_gap(
    captured_telemetry: Captured, gate: threading.Event
) -> None:
    """The value holds until the new one answers, which is asked at once, however long the interval
    is; what it does not name is missed."""
    service.register(METRIC, lambda: {"mail": 5, "orders": 1})
    asked = threading.Event()

    def wait() -> dict[str, float]:
        asked.set()
        gate.wait(PATIENCE_S)
        return {"mail": 6}

    with sampling(declared(interval_s=1_000.0, timeout_s=PATIENCE_S)) as kept:
        until(lambda: kept.values() == {"mail": 5, "orders": 1})
        service.register(METRIC, wait)
        assert asked.wait(PATIENCE_S)
        meanwhile = kept.values()
        gate.set()
        until(lambda: kept.values() == {"mail": 6})

    assert meanwhile == {"mail": 5, "orders": 1}
    assert kept.missed == [(METRIC, "orders", "no_value")]


@pytest.mark.slow
def test_a_function_that_hangs_is_not_asked_beside_its_successors(
    captured_telemetry: Captured, gate: threading.Event
) -> None:
    """However often a service registers another: at most one question of a metric is under way,
    and the newest is asked when it has ended."""
    asked: list[str] = []

    def hang() -> float:
        asked.append("hang")
        gate.wait(PATIENCE_S)
        return 1

    service.register(METRIC, hang)
    with sampling(declared(timeout_s=0.1)) as kept:
        until(lambda: asked)
        for _ in range(3):
            service.register(METRIC, partial(hang))
            kept.missed.clear()
            until(lambda: len(kept.missed) >= 2)  # by then the registry was looked at
        assert asked == ["hang"]
        service.register(METRIC, lambda: 7)
        gate.set()
        until(lambda: kept.values() == {"executor": 7})

    assert {sample.value for sample in kept.samples} <= {1, 7}


def test_a_function_for_a_metric_that_is_none_is_said(
    captured_telemetry: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """One line names it; the other functions are asked."""
    service.register("executor.queue_dept", lambda: 1)
    service.register(METRIC, lambda: 1)
    with sampling(declared()) as kept:
        until(lambda: len(kept.samples) >= 3)

    assert caplog.text.count("service.register('executor.queue_dept'): not a metric") == 1


class Busy:
    """A machine whose figures a test makes up."""

    def cpu(self) -> float | None:
        return 0.875

    def memory(self) -> float | None:
        return 0.5

    def disk(self) -> dict[str, float]:
        return {"/": 0.25, "/data": 0.5}


def test_figures_of_the_host_are_in_per_cent(captured_telemetry: Captured) -> None:
    """Of the CPUs, the memory, and each volume."""
    cpu = declared("infra.cpu_utilization", unit="%", type="host", scope="host", statistic="cpu")
    disk = declared("infra.disk_usage", unit="%", type="host", scope="volume", statistic="disk")
    with sampling(cpu, disk, host=Busy()) as kept:
        until(lambda: kept.values(cpu.name) and kept.values(disk.name))

        assert kept.values(cpu.name) == {"host-1": 87.5}
        assert kept.values(disk.name) == {"/": 25.0, "/data": 50.0}


@pytest.mark.slow
def test_one_process_asks_the_shared_sources(captured_telemetry: Captured) -> None:
    """Who is elected; its values go when it is no more, and each process asks its own functions."""
    held = False
    cpu = declared("infra.cpu_utilization", unit="%", type="host", scope="host", statistic="cpu")
    service.register(METRIC, lambda: 1)
    with sampling(cpu, declared(), host=Busy(), elected=lambda: held) as kept:
        until(lambda: kept.values(METRIC))
        assert kept.values(cpu.name) == {}
        held = True
        until(lambda: kept.values(cpu.name) == {"host-1": 87.5})
        held = False
        until(lambda: kept.values(cpu.name) == {})

    assert kept.missed == []


def test_nothing_is_asked_once_it_is_stopped(captured_telemetry: Captured) -> None:
    """And stopping waits for no question."""
    asked: list[float] = []
    service.register(METRIC, lambda: asked.append(time.monotonic()))
    with sampling(declared()) as kept:
        until(lambda: asked)
        kept.sampler.stop(time.monotonic() + PATIENCE_S)
        stopped = time.monotonic()
        until(lambda: "otel-metrics-service" not in {each.name for each in threading.enumerate()})

    assert all(at <= stopped for at in asked)


@pytest.mark.slow
def test_a_forked_child_samples_for_itself(captured_telemetry: Captured, tmp_path: Path) -> None:
    """It begins without its parent's values, and asks its own functions."""
    service.register(METRIC, lambda: os.getpid())
    with sampling(declared()) as kept:
        until(lambda: kept.samples)
        with kept.sampler.at_work:
            child = os.fork()
        if child == 0:
            _say_what_a_child_samples(kept.sampler, kept.samples, tmp_path / "child")
        until(lambda: os.waitpid(child, os.WNOHANG)[0] == child)

    assert (tmp_path / "child").read_text() == f"{{{float(child)}}}"


def _say_what_a_child_samples(
    sampler: service.sampler.Sampler, samples: list[Sample], path: Path
) -> None:
    signal.alarm(int(PATIENCE_S))
    try:
        samples.clear()
        sampler.after_fork()
        seen = sampler.table.samples()
        until(lambda: samples)
        path.write_text(str({sample.value for sample in [*seen, *samples]}))
    finally:
        os._exit(0)

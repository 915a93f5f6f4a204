"""Telemetry's health, from the page's families: what is unwell, and for how long it stays so."""

from collections.abc import Callable

import pytest
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_exporter_prometheus.health import LATELY_S, Health, Watch, examine
from otel_exporter_prometheus.merge import Family
from otel_exporter_prometheus.page import Page


def families(record: Callable[[Meter], None]) -> list[Family]:
    """Return what a page shows of what was recorded."""
    reader = InMemoryMetricReader()
    provider: MeterProvider = SdkMeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    record(provider.get_meter("test"))
    page = Page(reader.get_metrics_data)
    page.start()
    try:
        found = page.families()
    finally:
        page.stop()
    assert found is not None
    return found


def states(**by_exporter: int) -> list[Family]:
    def record(meter: Meter) -> None:
        gauge = meter.create_gauge("delivery.state", "{state}")
        for name, state in by_exporter.items():
            gauge.set(state, {"exporter": name})

    return families(record)


def errors(total: int) -> list[Family]:
    def record(meter: Meter) -> None:
        counter = meter.create_counter("archive.errors", "{error}")
        counter.add(total, {"error.type": "ENOSPC", "signal": "metrics"})

    return families(record)


def age(seconds: float) -> list[Family]:
    def observe(_: CallbackOptions) -> list[Observation]:
        return [Observation(seconds)]

    def record(meter: Meter) -> None:
        meter.create_observable_gauge("pipeline.progress.age", [observe], "s")

    return families(record)


def test_nothing_wrong_is_ok() -> None:
    """A page without any of the three metrics, as of a service without the bundle, is well."""
    assert examine([]) == Health()
    assert Health().as_json() == {
        "status": "ok",
        "problems": [],
        "exporters_down": [],
        "archive_errors": 0,
        "progress_age_seconds": None,
    }


def test_an_exporter_that_is_down_is_named() -> None:
    """All that do not deliver are named; those that do are not."""
    found = examine(states(otlp=0, ndjson=1, console=0))

    assert (found.ok, found.down) == (False, ("console", "otlp"))
    assert found.problems == (
        "exporter console does not deliver",
        "exporter otlp does not deliver",
    )


def test_a_strange_name_comes_through() -> None:
    """A name is read back from its label as it was."""
    name = 'a",exporter="b\\n\n\\'

    assert examine(states(**{name: 0})).down == (name,)


@pytest.mark.parametrize(
    ("seconds", "limit", "ok"), [(60.0, 120.0, True), (121.0, 120.0, False), (121.0, 600.0, True)]
)
def test_a_pipeline_that_stands_still_is_unwell(seconds: float, limit: float, ok: bool) -> None:
    """No collection for longer than the limit is a fault; the age is told in any case."""
    found = examine(age(seconds), stalled_after_s=limit)

    assert (found.ok, found.progress_age_s) == (ok, seconds)


def test_the_first_look_counts_every_error() -> None:
    """Who asks for the first time hears of what went wrong since the start."""
    assert Watch().look(errors(3), 1000.0).problems == ("3 errors of the archive lately",)


def test_an_error_is_late_for_five_minutes() -> None:
    """Then telemetry is well again, if no other came."""
    watch = Watch()
    looks = [
        watch.look(errors(total), at).errors
        for at, total in [
            (0.0, 0),
            (10.0, 2),
            (100.0, 2),
            (200.0, 3),
            (10.0 + LATELY_S, 3),
            (200.0 + LATELY_S, 3),
        ]
    ]

    assert looks == [0, 2, 2, 3, 1, 0]


def test_an_error_between_two_looks_is_never_missed() -> None:
    """Who asks once an hour hears of the hour."""
    watch = Watch()
    watch.look(errors(0), 0.0)

    assert watch.look(errors(5), 3600.0).errors == 5
    assert watch.look(errors(5), 3600.0 + LATELY_S).errors == 0


def test_a_total_that_goes_down_is_no_error() -> None:
    """After a restart the counter begins anew."""
    watch = Watch()
    watch.look(errors(9), 0.0)

    assert watch.look(errors(1), 2 * LATELY_S).ok


def test_many_looks_keep_few_totals() -> None:
    """However often somebody asks, an error ages as it should."""
    watch = Watch()
    for tenth in range(int(10 * LATELY_S)):
        watch.look([], tenth / 10)
    found = errors(1)

    assert watch.look(found, LATELY_S).errors == 1
    assert [watch.look(found, LATELY_S + 11 * n).errors for n in range(1, 30)][-3:] == [1, 0, 0]


def test_no_page_is_unwell() -> None:
    """Where nothing can be collected, that is what is said."""
    assert Watch().look(None, 0.0).problems == ("the metrics cannot be collected",)

"""For every kind of instrument, our page is upstream's, but for a short list of named differences.

Upstream is opentelemetry-exporter-prometheus, parsed by prometheus_client like ours.
"""

from collections.abc import Callable, Iterable, Iterator

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader as UpstreamReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_exporter_prometheus import PrometheusMetricReader

DIFFERENCES = {
    "ratio": "a gauge of unit 1 ends in _ratio, as behind the collector; upstream has no suffix",
    "help": "a metric without description has its name as help; upstream has none",
    "value": "label values are AsString: 1.5 and 2 where upstream has 1.5 and 2.0, arrays without "
    "blanks",
    "empty": "a label without a value is left out, since Prometheus reads both alike; upstream "
    "fills in labels that another series of the metric has",
    "le": "bounds are canonical floats: 1e+06 where upstream has 1000000.0, 5.0 where it has 5",
    "negative": "a histogram of negative bounds has _sum and _count in text; upstream has neither",
}
"""What may differ, and why. `test_what_upstream_fails_on` has what upstream cannot show at all."""

Sample = tuple[str, frozenset[tuple[str, str]], float]
Page = dict[str, tuple[str, str, frozenset[Sample]]]
Record = Callable[[Meter, str, str, str, list[tuple[float, dict[str, object]]]], None]


def _observations(
    points: list[tuple[float, dict[str, object]]],
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def callback(options: CallbackOptions) -> Iterator[Observation]:
        for value, attributes in points:
            yield Observation(value, attributes)  # type: ignore[arg-type] # any type of value

    return callback


def _counter(meter: Meter, name: str, unit: str, help_: str, points: list) -> None:  # type: ignore[type-arg]
    instrument = meter.create_counter(name, unit, help_)
    for value, attributes in points:
        instrument.add(value, attributes)


def _up_down(meter: Meter, name: str, unit: str, help_: str, points: list) -> None:  # type: ignore[type-arg]
    instrument = meter.create_up_down_counter(name, unit, help_)
    for value, attributes in points:
        instrument.add(-value, attributes)


def _gauge(meter: Meter, name: str, unit: str, help_: str, points: list) -> None:  # type: ignore[type-arg]
    instrument = meter.create_gauge(name, unit, help_)
    for value, attributes in points:
        instrument.set(value, attributes)


def _histogram(meter: Meter, name: str, unit: str, help_: str, points: list) -> None:  # type: ignore[type-arg]
    instrument = meter.create_histogram(name, unit, help_)
    for value, attributes in points:
        instrument.record(value, attributes)


def _observable_counter(meter: Meter, name: str, unit: str, help_: str, points: list) -> None:  # type: ignore[type-arg]
    meter.create_observable_counter(name, [_observations(points)], unit, help_)


def _observable_up_down(meter: Meter, name: str, unit: str, help_: str, points: list) -> None:  # type: ignore[type-arg]
    meter.create_observable_up_down_counter(name, [_observations(points)], unit, help_)


def _observable_gauge(meter: Meter, name: str, unit: str, help_: str, points: list) -> None:  # type: ignore[type-arg]
    meter.create_observable_gauge(name, [_observations(points)], unit, help_)


INSTRUMENTS: dict[str, Record] = {
    "counter": _counter,
    "up_down_counter": _up_down,
    "gauge": _gauge,
    "histogram": _histogram,
    "observable_counter": _observable_counter,
    "observable_up_down_counter": _observable_up_down,
    "observable_gauge": _observable_gauge,
}
UNITS = ["", "s", "ms", "us", "ns", "min", "h", "d", "By", "KiBy", "MiBy", "KBy", "GBy", "m", "V"]
UNITS += ["A", "J", "W", "g", "Cel", "Hz", "%", "1", "{request}", "{request}/s", "By/s", "1/min"]
UNITS += ["USD", "ms/h", "m/y", "km"]


class Both:
    """The same recordings, read by ours and by upstream's reader."""

    def __init__(self, **options: bool) -> None:
        self.ours = PrometheusMetricReader(serve=False)
        self.registry = CollectorRegistry()
        upstream = UpstreamReader(registry=self.registry, scope_info_enabled=False)
        self.provider = MeterProvider(
            metric_readers=[self.ours, upstream],
            resource=Resource({"service.name": "shop", "host.cpu.count": 2, "beta": True}),
            shutdown_on_exit=False,
        )
        self.meter = self.provider.get_meter("test")

    def pages(self) -> tuple[Page, Page]:
        """Return both text pages, with the named differences removed from both."""
        ours = parse_text(self.ours.page().decode())
        return _page(ours), _page(parse_text(generate_latest(self.registry).decode()))

    def openmetrics(self) -> tuple[Page, Page]:
        """The same for OpenMetrics."""
        ours = self.ours.page(openmetrics=True).decode()
        theirs = generate_openmetrics(self.registry).decode()  # type: ignore[no-untyped-call]  # theirs
        return _page(parse_openmetrics(ours)), _page(parse_openmetrics(theirs))  # type: ignore[no-untyped-call]  # theirs


@pytest.fixture
def both() -> Iterator[Both]:
    """Ours beside upstream's."""
    made = Both()
    yield made
    made.provider.shutdown()


def _page(families: Iterable[Metric]) -> Page:
    page = {}
    for family in families:
        samples = frozenset(
            _sample(sample.name, sample.labels, sample.value) for sample in family.samples
        )
        page[family.name] = (family.type, family.documentation, samples)
    return page


def _sample(name: str, labels: dict[str, str], value: float) -> Sample:
    shown = {
        label: repr(float(text)) if label == "le" else text
        for label, text in labels.items()
        if text  # difference "empty"
    }
    return name, frozenset(shown.items()), value


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_instrument_and_unit(both: Both, instrument: str, unit: str) -> None:
    """Names, types, help, labels and values are upstream's, with text, and with OpenMetrics."""
    points: list[tuple[float, dict[str, object]]] = [
        (3, {"skill": "review", "tier.level": "a b"}),
        (2.5, {"skill": 'say "x"\\\n', "tier.level": "ü"}),
        (7, {}),
    ]
    INSTRUMENTS[instrument](both.meter, "shop.thing", unit, "What it is.", points)

    ours, theirs = both.pages()
    ours_openmetrics, theirs_openmetrics = both.openmetrics()

    if unit == "1" and instrument.endswith("gauge"):
        ours, ours_openmetrics = _without_ratio(ours), _without_ratio(ours_openmetrics)
    assert ours == theirs
    assert ours_openmetrics == theirs_openmetrics


def _without_ratio(page: Page) -> Page:
    """Remove the difference "ratio"."""
    return {
        name.removesuffix("_ratio"): (
            kind,
            help_,
            frozenset((sample.removesuffix("_ratio"), *rest) for sample, *rest in samples),  # type: ignore[misc]
        )
        for name, (kind, help_, samples) in page.items()
    }


@pytest.mark.parametrize(
    ("value", "ours_shows", "upstream_shows"),
    [
        ("text", "text", "text"),
        (1, "1", "1"),
        (True, "true", "true"),
        (1.5, "1.5", "1.5"),
        (2.0, "2", "2.0"),
        (1e-7, "1e-7", "1e-07"),
        (("a", "b"), '["a","b"]', '["a", "b"]'),
        ((1, 2), "[1,2]", "[1, 2]"),
        ((True, False), "[true,false]", "[true, false]"),
        ("", None, None),
    ],
)
def test_attributes_of_every_type(
    both: Both, value: object, ours_shows: str | None, upstream_shows: str | None
) -> None:
    """Difference "value": label values are those of the collector, and no others differ."""
    both.meter.create_counter("c").add(1, {"k": value})  # type: ignore[dict-item] # any type

    ours, theirs = both.pages()

    for page, text in ((ours, ours_shows), (theirs, upstream_shows)):
        labels = frozenset() if text is None else frozenset({("k", text)})
        assert page["c"][2] == {("c_total", labels, 1.0)}


def test_help_of_a_metric_without_description(both: Both) -> None:
    """Difference "help": ours is the metric's name."""
    both.meter.create_counter("a.b").add(1)

    ours, theirs = both.pages()

    assert (ours["a_b"][1], theirs["a_b"][1]) == ("a.b", "")


def test_negative_bounds(both: Both) -> None:
    """Difference "negative": a histogram with such bounds keeps its count and sum in text."""
    histogram = both.meter.create_histogram(
        "h", "", "H.", explicit_bucket_boundaries_advisory=[-1, 0, 1]
    )
    histogram.record(3)

    ours, theirs = both.pages()

    extra: set[Sample] = {("h_sum", frozenset(), 3.0), ("h_count", frozenset(), 1.0)}
    assert ours["h"][2] - theirs["h"][2] == extra
    assert theirs["h"][2] < ours["h"][2]


def test_target_info(both: Both) -> None:
    """The resource is on the page as upstream shows it."""
    both.meter.create_counter("c").add(1)

    ours, theirs = both.pages()

    assert ours["target_info"] == theirs["target_info"]


@pytest.mark.parametrize("bad", ["\ud800", "le"])
def test_what_upstream_fails_on(both: Both, bad: str) -> None:
    """A lone surrogate, or an attribute `le` on a histogram, costs upstream the page or a label."""
    both.meter.create_counter("good", "", "Good.").add(1)
    both.meter.create_histogram("h", "", "H.").record(1, {"le": bad} if bad == "le" else {"k": bad})

    samples = _page(parse_text(both.ours.page().decode()))["good"][2]

    assert samples == {("good_total", frozenset(), 1.0)}

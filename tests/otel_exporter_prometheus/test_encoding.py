"""The page: what it shows, in either format, of well-made and of broken metrics."""

import logging
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import Exemplar, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogramDataPoint,
    Gauge,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import ExponentialHistogram as ExponentialData
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as ParsedMetric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_exporter_prometheus import PrometheusMetricReader
from otel_exporter_prometheus.encoding import Encoder, encode

CUMULATIVE = AggregationTemporality.CUMULATIVE
DELTA = AggregationTemporality.DELTA
GOLDEN = Path(__file__).parent / "golden"

Lines = Callable[..., list[str]]


def number(
    value: object = 1,
    attributes: object = None,
    *,
    at: int = 2,
    exemplars: Sequence[Exemplar] = (),
) -> NumberDataPoint:
    return NumberDataPoint(attributes or {}, 1, at, value, exemplars)  # type: ignore[arg-type] # junk is the point


def counter(name: str, *points: NumberDataPoint, unit: str = "", help_: str = "") -> Metric:
    return Metric(name, help_, unit, Sum(points, CUMULATIVE, is_monotonic=True))


def gauge(name: str, *points: NumberDataPoint, unit: str = "") -> Metric:
    return Metric(name, "", unit, Gauge(points))


def bucketed(
    counts: Sequence[int],
    bounds: Sequence[float],
    sum_: float = 1.0,
    attributes: dict[str, str] | None = None,
    *,
    exemplars: Sequence[Exemplar] = (),
) -> HistogramDataPoint:
    total = sum(counts)
    return HistogramDataPoint(attributes or {}, 1, 2, total, sum_, counts, bounds, 0, 1, exemplars)


def histogram(name: str, *points: HistogramDataPoint) -> Metric:
    return Metric(name, "", "", HistogramData(points, CUMULATIVE))


def data(*metrics: Metric, scopes: Sequence[Sequence[Metric]] = ()) -> MetricsData:
    scoped = scopes or [metrics]
    return MetricsData(
        [
            ResourceMetrics(
                Resource({}),
                [
                    ScopeMetrics(InstrumentationScope(f"scope{index}"), list(each), "")
                    for index, each in enumerate(scoped)
                ],
                "",
            )
        ]
    )


def shown(given_data: MetricsData, *, openmetrics: bool = False) -> list[str]:
    """Return the samples of the page, without `target_info`."""
    page = encode(given_data, openmetrics=openmetrics).decode()
    return [line for line in page.splitlines() if line[0] != "#" and "target_info" not in line]


def reasons(given_data: MetricsData) -> list[str]:
    return [each.reason for each in Encoder().encode(given_data, openmetrics=False).dropped]


def parsed(page: bytes, *, openmetrics: bool) -> list[ParsedMetric]:
    parse = parse_openmetrics if openmetrics else parse_text
    return list(parse(page.decode()))


def test_no_metrics_are_an_empty_page() -> None:
    """A process that has recorded nothing has a page that scrapers accept."""
    assert encode(None) == b""
    assert encode(None, openmetrics=True) == b"# EOF\n"


@pytest.mark.parametrize("openmetrics", [False, True])
def test_golden_page(openmetrics: bool) -> None:
    """The page of one metric of each kind is byte for byte what was reviewed."""
    exemplar = Exemplar({"user.tier": "gold"}, 0.7, 1_700_000_000_123_456_789, 0xB, 0xA)
    exponential = ExponentialHistogramDataPoint(
        {}, 1, 2, 4, 9.5, 0, 1, Buckets(0, [1, 2]), Buckets(0, []), 0, 0, 4
    )
    metrics = data(
        counter("orders", number(3, {"paid": True}, exemplars=[exemplar]), help_="Orders\nso far."),
        counter("llm.cost", number(0.25, {"model": 'a"b\\c'}), unit="USD"),
        gauge("cache.hit.ratio", number(0.5), unit="1"),
        Metric("queue.length", "Waiting.", "{order}", Sum([number(-2)], CUMULATIVE, False)),
        histogram("wait", bucketed([1, 2, 0], (0.5, 1.0), 2.5, {"a": "b"}, exemplars=[exemplar])),
        Metric("size", "Sizes.", "By", ExponentialData([exponential], CUMULATIVE)),
    )
    path = GOLDEN / ("page.openmetrics.txt" if openmetrics else "page.txt")

    page = encode(metrics, openmetrics=openmetrics)

    assert page.decode() == path.read_text(encoding="utf-8")
    assert parsed(page, openmetrics=openmetrics)


def test_a_metric_without_description_has_its_name_as_help(meter: Meter, lines: Lines) -> None:
    """promtool finds a help text for every metric."""
    meter.create_counter("a.b").add(1)

    assert "# HELP a_b_total a.b" in lines()


def test_pages_follow_values(meter: Meter, lines: Lines) -> None:
    """What is kept from one scrape to the next never shows an old number."""
    orders, wait = meter.create_counter("orders"), meter.create_histogram("wait")
    pages = []
    for _ in range(3):
        orders.add(1, {"k": "v"})
        wait.record(1, {"k": "v"})
        pages.append([each for each in lines() if "orders_total{" in each or "_count" in each])

    assert pages == [
        [f'orders_total{{k="v"}} {turn}', f'wait_count{{k="v"}} {turn}'] for turn in (1, 2, 3)
    ]


def test_two_metrics_that_share_attributes_keep_their_labels() -> None:
    """A histogram's `le` moves aside; the same attributes on a counter stay as they are."""
    attributes = {"le": "x"}
    encoder = Encoder()
    shared = data(
        counter("c", number(1, attributes)),
        histogram("h", HistogramDataPoint(attributes, 1, 2, 1, 1.0, [1], (), 0, 1)),
    )

    for _ in range(2):
        page = encoder.encode(shared, openmetrics=False).body.decode()

        assert 'c_total{le="x"} 1\n' in page
        assert 'h_bucket{exported_le="x",le="+Inf"} 1\n' in page


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 2**63, 1e-300, True])
def test_every_number_is_rendered(value: float) -> None:
    """NaN and infinities are numbers to Prometheus too."""
    (family,) = [
        each
        for each in parse_text(encode(data(gauge("g", number(value)))).decode())
        if each.name == "g"
    ]

    assert struct.pack("d", family.samples[0].value) == struct.pack("d", float(value))


def test_openmetrics_has_no_counter_of_nan_and_the_text_page_has() -> None:
    """OpenMetrics forbids such counters; others of the same name stay."""
    metrics = data(counter("c", number(float("nan"), {"a": "1"}), number(2, {"a": "2"})))

    assert shown(metrics) == ['c_total{a="1"} NaN', 'c_total{a="2"} 2']
    assert shown(metrics, openmetrics=True) == ['c_total{a="2"} 2']


def test_a_histogram_with_negative_bounds_has_no_sum_in_openmetrics() -> None:
    """OpenMetrics forbids it; a text page has count and sum."""
    metrics = data(histogram("h", bucketed([1, 2], (-1.0,), -3.0)))

    assert shown(metrics)[2:] == ["h_sum -3.0", "h_count 3"]
    assert shown(metrics, openmetrics=True) == [
        'h_bucket{le="-1.0"} 1',
        'h_bucket{le="+Inf"} 3',
    ]


def test_a_bound_of_infinity_is_the_last_bucket() -> None:
    """Who ends his boundaries in +Inf, as prometheus_client wants it, gets one such bucket."""
    metrics = data(histogram("h", bucketed([1, 2, 0], (1.0, float("inf")))))

    assert shown(metrics)[:2] == ['h_bucket{le="1.0"} 1', 'h_bucket{le="+Inf"} 3']


def test_delta_metrics_are_left_out_and_counted() -> None:
    """A difference shown as a total would be a wrong number; the reason is kept instead."""
    metrics = data(
        Metric("a", "", "", Sum([number()], DELTA, is_monotonic=True)),
        Metric("b", "", "", HistogramData([bucketed([1], ())], DELTA)),
        gauge("c", number()),
    )

    assert (shown(metrics), reasons(metrics)) == (["c 1"], ["delta", "delta"])


@pytest.mark.parametrize(
    "junk",
    [
        gauge("junk", number("1")),
        gauge("junk", number(None)),
        gauge("junk", number(10**400)),
        counter("junk", number(1), number("x", {"a": "b"})),
        Metric("junk", "", "", cast("Gauge", object())),
        Metric("junk", "", "", Gauge([cast("NumberDataPoint", None)])),
        Metric(cast("str", None), "", "", Gauge([number()])),
        gauge("ようこそ", number()),
        histogram("junk", bucketed([1], (1.0,))),
        histogram("junk", bucketed([1, -1], (1.0,))),
        histogram("junk", bucketed([1, 1, 1], (2.0, 1.0))),
        histogram("junk", bucketed([1, 1], (float("nan"),))),
        histogram("junk", bucketed(cast("list[int]", [1.5, 1]), (1.0,))),
        Metric("junk", cast("str", 5), "", Gauge([number()])),
    ],
)
def test_one_bad_family_never_breaks_the_page(junk: Metric) -> None:
    """A metric that holds junk is left out and counted; its neighbours are served."""
    metrics = data(gauge("before", number()), junk, gauge("after", number()))

    assert shown(metrics) == ["before 1", "after 1"]
    assert reasons(metrics) in (["junk"], ["name"])
    for openmetrics in (False, True):
        assert parsed(encode(metrics, openmetrics=openmetrics), openmetrics=openmetrics)


def test_scopes_are_merged_without_scope_labels() -> None:
    """Points of one name and label set become one: sums and buckets added, the newest gauge."""
    one = [
        counter("c", number(1), number(5, {"only": "one"})),
        gauge("g", number(1, at=9)),
        Metric("u", "", "", Sum([number(4)], CUMULATIVE, is_monotonic=False)),
        histogram("h", bucketed([1, 2], (1.0,), 2.5)),
    ]
    two = [
        counter("c", number(2)),
        gauge("g", number(2, at=3)),
        Metric("u", "", "", Sum([number(-1)], CUMULATIVE, is_monotonic=False)),
        histogram("h", bucketed([3, 0], (1.0,), 1.5)),
    ]

    assert shown(data(scopes=[one, two])) == [
        "c_total 3",
        'c_total{only="one"} 5',
        "g 1",
        "u 3",
        'h_bucket{le="1.0"} 4',
        'h_bucket{le="+Inf"} 6',
        "h_sum 4.0",
        "h_count 6",
    ]


def test_scope_labels_keep_scopes_apart() -> None:
    """Who asks for scope labels sees each scope's own numbers."""
    metrics = data(scopes=[[counter("c", number(1))], [counter("c", number(2))]])

    page = Encoder(scope_labels=True).encode(metrics, openmetrics=True).body

    samples = next(each for each in parsed(page, openmetrics=True) if each.name == "c").samples
    assert [(each.labels, each.value) for each in samples] == [
        ({"otel_scope_name": "scope0"}, 1),
        ({"otel_scope_name": "scope1"}, 2),
    ]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (Metric("m.total", "", "", Sum([number()], CUMULATIVE, is_monotonic=False)), "type"),
        (gauge("h", number()), "type"),
        (histogram("h", bucketed([1, 1], (2.0,))), "bounds"),
        (gauge("h_count", number()), "clash"),
        (gauge("target.info", number()), "clash"),
        (gauge("g", number(), unit="{other}"), "unit"),
    ],
)
def test_what_cannot_stand_beside_the_first_is_dropped(second: Metric, reason: str) -> None:
    """A second type, unit or bounds under one name is left out, and no series appears twice."""
    first = [
        counter("m", number()),
        histogram("h", bucketed([1, 1], (1.0,))),
        gauge("g", number()),
    ]
    metrics = data(scopes=[first, [second]])

    assert reasons(metrics) == [reason]
    assert shown(metrics) == shown(data(*first))


def test_openmetrics_names_that_clash_lose_the_type_and_not_the_number() -> None:
    """`orders` and `orders.created` may both be counters; OpenMetrics calls one unknown."""
    metrics = data(
        counter("orders", number(1)),
        counter("orders.created", number(2)),
        gauge("jobs", number(3)),
        counter("jobs", number(4)),
    )

    page = encode(metrics, openmetrics=True)

    kinds = {each.name: each.type for each in parsed(page, openmetrics=True)}
    assert kinds == {
        "target": "info",
        "orders": "counter",
        "orders_created_total": "unknown",
        "jobs": "gauge",
        "jobs_total": "unknown",
    }


def test_names_are_limited() -> None:
    """10,000 names cannot make a page without end; what is left out is counted."""
    metrics = data(*(gauge(f"g{number_}", number()) for number_ in range(2100)))

    assert len(shown(metrics)) == 2000
    assert reasons(metrics) == ["limit"] * 100


def test_exemplars_name_the_trace(meter: Meter, lines: Lines) -> None:
    """A counter and the buckets of a histogram lead to a trace, in OpenMetrics only."""
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        meter.create_counter("c").add(1)
        meter.create_histogram("h").record(7)

    suffix = f'# {{trace_id="{0xABC:032x}",span_id="{0xDEF:016x}"}} '
    with_exemplar = [line for line in lines(openmetrics=True) if suffix in line]
    assert [line.partition(" # ")[0] for line in with_exemplar] == [
        "c_total 1",
        'h_bucket{le="10.0"} 1',
    ]
    assert not any(" # {" in line for line in lines())


def test_exemplars_keep_within_128_characters() -> None:
    """Filtered attributes fill what trace and span leave; what does not fit is left out."""
    attributes = {"short": "x", "long": "y" * 128, "quoted": '"', "trace_id": "other", "e": ""}
    metrics = data(counter("c", number(1, exemplars=[Exemplar(attributes, 1, 10**9, 1, 2)])))

    page = encode(metrics, openmetrics=True)

    (sample,) = next(e for e in parsed(page, openmetrics=True) if e.name == "c").samples
    assert sample.exemplar is not None
    assert sample.exemplar.labels == {
        "trace_id": f"{2:032x}",
        "span_id": f"{1:016x}",
        "short": "x",
    }


def test_an_exponential_histogram_degrades_to_a_classic_one() -> None:
    """Logfire makes every histogram exponential; upstream's page is a 500 then."""
    reader = PrometheusMetricReader(serve=False)
    exponential = InMemoryMetricReader(
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()}
    )
    provider = MeterProvider(metric_readers=[exponential, reader], shutdown_on_exit=False)
    recorded = provider.get_meter("test").create_histogram("h")
    for value in (0, 1, 3, 3, 1000):
        recorded.record(value)
    collected = exponential.get_metrics_data()
    assert collected is not None

    samples = {line.split(" ")[0]: line.split(" ")[1] for line in shown(collected)}

    assert samples['h_bucket{le="0.0"}'] == "1"
    assert samples['h_bucket{le="4.0"}'] == "4"
    assert samples['h_bucket{le="+Inf"}'] == samples["h_count"] == "5"
    assert samples["h_sum"] == "1007"


@pytest.mark.parametrize(
    "value",
    [
        "a\nb",
        'say "x"',
        "back\\slash",
        "\\n",
        "cr\r",
        "\u2028\u2029\x85",
        "# TYPE x counter",
        '"} 1\nevil_total{a="b',
        "{},=",
        " ",
        "é",
        "𝄞",
        '\\"',
    ],
)
@pytest.mark.parametrize("openmetrics", [False, True])
def test_label_injection_makes_no_series(value: str, openmetrics: bool) -> None:
    """Whatever a value holds, it is one value of one series."""
    page = encode(data(gauge("g", number(1, {"k": value}))), openmetrics=openmetrics)

    samples = [s for family in parsed(page, openmetrics=openmetrics) for s in family.samples]
    assert [s.labels for s in samples if s.name == "g"] == [{"k": value}]
    assert len(samples) == 2  # and target_info


def test_surrogates_anywhere_are_replaced_and_counted() -> None:
    """A lone surrogate in value, key, description, scope or resource costs nobody the scrape."""
    bad = "x\ud800"
    metrics = MetricsData(
        [
            ResourceMetrics(
                Resource({"r": bad, bad: "r"}),
                [
                    ScopeMetrics(
                        InstrumentationScope(bad, bad, "", {bad: bad}),
                        [Metric("g", bad, "", Gauge([number(1, {"k": bad, bad: "v\0"})]))],
                        "",
                    )
                ],
                "",
            )
        ]
    )

    encoding = Encoder(scope_labels=True).encode(metrics, openmetrics=True)

    assert encoding.replaced == 7
    samples = [s for family in parsed(encoding.body, openmetrics=True) for s in family.samples]
    assert samples[1].labels["k"] == "x\ufffd"
    assert samples[1].labels["x_"] == "v\ufffd"


def test_what_is_kept_is_bounded_by_the_last_page() -> None:
    """100,000 series that come and go leave nothing behind."""
    encoder = Encoder()
    for start in range(0, 100_000, 10_000):
        encoder.encode(
            data(
                counter("c", *(number(1, {"n": str(n)}) for n in range(start, start + 10_000))),
                histogram("h", bucketed([1, 1], (1.0,), 1.0, {"n": str(start)})),
            ),
            openmetrics=False,
        )
    encoder.encode(data(gauge("g", number())), openmetrics=False)
    encoder.encode(data(gauge("g", number())), openmetrics=False)

    assert encoder.remembered <= 4


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), _TEXT, max_size=4))
def test_any_label_text_round_trips(attributes: dict[str, str]) -> None:
    """The official parsers read back every label as it was recorded."""
    for openmetrics in (False, True):
        page = encode(data(gauge("g", number(1, attributes))), openmetrics=openmetrics)

        (family,) = [e for e in parsed(page, openmetrics=openmetrics) if e.name == "g"]
        assert family.samples[0].labels == {k: v for k, v in attributes.items() if v}


_ANY_TEXT = st.text(max_size=8)
_NAME = st.one_of(_ANY_TEXT, st.sampled_from(["a", "a.total", "a_count", "a.created", "target"]))
_VALUE = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), _ANY_TEXT)
_ATTRIBUTES = st.dictionaries(
    st.one_of(_ANY_TEXT, st.sampled_from(["le", "a.b", "a_b", "__name__"])),
    st.one_of(_VALUE, st.lists(_VALUE, max_size=3), st.binary(max_size=3)),
    max_size=3,
)
_EXEMPLARS = st.lists(
    st.builds(
        Exemplar,
        filtered_attributes=_ATTRIBUTES,
        value=st.one_of(st.integers(), st.floats()),
        time_unix_nano=st.integers(0, 2**63),
        span_id=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
        trace_id=st.one_of(st.none(), st.integers(0, 2**128 - 1)),
    ),
    max_size=2,
)
_NUMBERS = st.lists(
    st.builds(
        NumberDataPoint,
        attributes=_ATTRIBUTES,
        start_time_unix_nano=st.just(1),
        time_unix_nano=st.integers(0, 9),
        value=_VALUE,
        exemplars=_EXEMPLARS,
    ),
    max_size=4,
)
_HISTOGRAMS = st.lists(
    st.builds(
        HistogramDataPoint,
        attributes=_ATTRIBUTES,
        start_time_unix_nano=st.just(1),
        time_unix_nano=st.just(2),
        count=st.integers(0, 9),
        sum=st.one_of(st.floats(), st.integers()),
        bucket_counts=st.lists(st.integers(-1, 9), min_size=2, max_size=4),
        explicit_bounds=st.sampled_from([(1.0,), (0.5, 2), (-1, 0, 1), (1.0, float("inf"))]),
        min=st.just(0),
        max=st.just(0),
        exemplars=_EXEMPLARS,
    ),
    max_size=4,
)
_BUCKETS = st.builds(
    Buckets, offset=st.integers(-2000, 2000), bucket_counts=st.lists(st.integers(0, 9), max_size=5)
)
_EXPONENTIALS = st.lists(
    st.builds(
        ExponentialHistogramDataPoint,
        attributes=_ATTRIBUTES,
        start_time_unix_nano=st.just(1),
        time_unix_nano=st.just(2),
        count=st.integers(0, 9),
        sum=st.floats(),
        scale=st.integers(-10, 20),
        zero_count=st.integers(0, 9),
        positive=_BUCKETS,
        negative=_BUCKETS,
        flags=st.just(0),
        min=st.just(0),
        max=st.just(0),
        exemplars=_EXEMPLARS,
    ),
    max_size=3,
)
_TEMPORALITY = st.sampled_from([CUMULATIVE, CUMULATIVE, CUMULATIVE, DELTA])
_METRIC = st.builds(
    Metric,
    name=_NAME,
    description=_ANY_TEXT,
    unit=st.sampled_from(["", "s", "1", "By/s", "{x}", "%", "m^2"]),
    data=st.one_of(
        st.builds(Gauge, _NUMBERS),
        st.builds(Sum, _NUMBERS, _TEMPORALITY, st.booleans()),
        st.builds(HistogramData, _HISTOGRAMS, _TEMPORALITY),
        st.builds(ExponentialData, _EXPONENTIALS, _TEMPORALITY),
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(_METRIC, max_size=4), min_size=1, max_size=3), st.booleans())
def test_any_metrics_data_is_a_valid_page_with_no_series_twice(
    scopes: list[list[Metric]], scope_labels: bool
) -> None:
    """Whatever is recorded or replayed, both official parsers read the page, each series once."""
    encoder = Encoder(scope_labels=scope_labels)
    for openmetrics in (False, True):
        page = encoder.encode(data(scopes=scopes), openmetrics=openmetrics).body

        seen = [
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in parsed(page, openmetrics=openmetrics)
            for sample in family.samples
        ]
        assert len(seen) == len(set(seen))
        samples = [line for line in page.decode().split("\n") if line and line[0] != "#"]
        assert len(samples) == len(seen)


def test_a_dropped_metric_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A log is not a copy of the page: one line for a metric, whatever the number of scrapes."""
    caplog.set_level(logging.WARNING, "otel_exporter_prometheus")
    reader = PrometheusMetricReader(serve=False)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    provider.get_meter("one").create_counter("c", "s").add(1)
    provider.get_meter("two").create_counter("c.seconds").add(1)

    for _ in range(3):
        reader.page()

    assert [record.getMessage() for record in caplog.records] == [
        (
            "metric 'c.seconds' is not or only in part on the metrics page: "
            "'c' is already shown as c_seconds_total, of another unit"
        )
    ]

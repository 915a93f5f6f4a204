"""Names follow the translators of the collector and of Prometheus, and say when those disagree."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from otel_exporter_prometheus.naming import (
    Instrument,
    label_name,
    metric_name,
    problem,
    unit_suffix,
)

NAMES = [
    # (name, unit, instrument, rendered): from the tests of otlptranslator v1.0.0
    ("requests", "", "counter", "requests_total"),
    ("cpu_usage", "1", "gauge", "cpu_usage_ratio"),
    ("cpu_usage_ratio", "1", "gauge", "cpu_usage_ratio"),
    ("items", "1", "counter", "items_total"),
    ("response_time", "ms", "gauge", "response_time_milliseconds"),
    ("memory_usage", "By", "gauge", "memory_usage_bytes"),
    ("requests", "1/s", "gauge", "requests_per_second"),
    ("throughput", "By/s", "gauge", "throughput_bytes_per_second"),
    ("custom_metric", "custom_unit", "gauge", "custom_metric_custom_unit"),
    ("custom_metric", "{custom}", "gauge", "custom_metric"),
    ("custom_metric", "By/{custom}", "gauge", "custom_metric_bytes"),
    ("requests_total", "", "counter", "requests_total"),
    ("response_time_seconds", "s", "gauge", "response_time_seconds"),
    ("cpu_seconds_total", "s", "counter", "cpu_seconds_total"),
    ("123_requests", "", "counter", "_123_requests_total"),
    (
        "metric__with__multiple__underscores",
        "unit__multiple__underscores",
        "gauge",
        "metric_with_multiple_underscores_unit_multiple_underscores",
    ),
    (
        "custom_metric",
        "unit@with#special/chars",
        "gauge",
        "custom_metric_unit_with_special_per_chars",
    ),
    ("active_connections", "", "updowncounter", "active_connections"),
    ("http.request.duration", "ms", "histogram", "http_request_duration_milliseconds"),
    ("requests", "1/mo", "gauge", "requests_per_month"),
    ("custom", "1/custom_unit", "gauge", "custom_per_custom_unit"),
    ("metric", "By/", "gauge", "metric_bytes"),
    ("metric", " By / s ", "gauge", "metric_bytes_per_second"),
    ("metric", "/", "gauge", "metric"),
    # and from what the pains of others teach
    ("llm.cost", "USD", "counter", "llm_cost_USD_total"),
    ("llm.cost", "{USD}", "counter", "llm_cost_total"),
    ("foo.total", "", "counter", "foo_total"),
    ("foo", "%", "gauge", "foo_percent"),
    ("foo", "1", "updowncounter", "foo"),
    ("foo", "1", "histogram", "foo"),
    ("rate", "{request}/s", "gauge", "rate_per_second"),
    ("process.unix.file_descriptor.count", "{x}", "gauge", "process_unix_file_descriptor_count"),
    ("a:b", "", "gauge", "a:b"),
    (".x.", "", "gauge", "x"),
]


@pytest.mark.parametrize(("name", "unit", "instrument", "rendered"), NAMES)
def test_name_is_what_the_translators_make(
    name: str, unit: str, instrument: Instrument, rendered: str
) -> None:
    """A dashboard finds a metric under one name, whichever way it came."""
    assert metric_name(name, unit, instrument) == rendered


@pytest.mark.parametrize("name", ["", "@#$%", "___", "ようこそ"])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    """A name that cannot be shown is an error and not an empty line."""
    with pytest.raises(ValueError, match="no letter or digit"):
        metric_name(name, "", "gauge")


@pytest.mark.parametrize(
    ("unit", "suffix"),
    [("s", "seconds"), ("By/s", "bytes_per_second"), ("1/s", "per_second"), ("1", ""), ("{x}", "")],
)
def test_unit_suffix(unit: str, suffix: str) -> None:
    """The unit of a family is written as the words in its name."""
    assert unit_suffix(unit) == suffix


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("http.method", "http_method"),
        ("label:with:colons", "label_with_colons"),
        ("label!with&special$chars)", "label_with_special_chars_"),
        ("label_with_foreign_characters_字符", "label_with_foreign_characters_"),
        (".foo", "_foo"),
        ("123label", "key_123label"),
        ("label__with__double", "label_with_double"),
        ("trailing___", "trailing_"),
        ("ようこそ", "_"),
        ("", "_"),
        ("__name__", "_name_"),
        ("\ud800", "_"),
    ],
)
def test_label_name(key: str, label: str) -> None:
    """Labels are named as the collector names them; what it refuses still has a name here."""
    assert label_name(key) == label


@pytest.mark.parametrize(
    ("name", "unit", "instrument"),
    [
        ("gen_ai.client.inference.duration", "s", "histogram"),
        ("llm.cost", "USD", "counter"),
        ("foo.total", "", "counter"),
        ("process.seconds", "s", "gauge"),
        ("system.cpu.utilization", "1", "gauge"),
        ("cache.hit.ratio", "1", "gauge"),
        ("pforge.efficiency", "{score}", "gauge"),
        ("request.rate", "{request}/s", "gauge"),
        ("process.unix.file_descriptor.count", "{file_descriptor}", "gauge"),
        ("queue.length", "1", "updowncounter"),
    ],
)
def test_names_without_a_problem(name: str, unit: str, instrument: Instrument) -> None:
    """Names that every translator renders alike pass."""
    assert problem(name, unit, instrument) is None


@pytest.mark.parametrize(
    ("name", "unit", "instrument", "reason"),
    [
        ("foo.total.bar", "", "counter", "'total' before its end"),
        ("total.foo", "", "gauge", "'total' before its end"),
        ("total", "", "counter", "'total' before its end"),
        ("foo.total", "", "gauge", "reads as a counter"),
        ("request.seconds.spent", "s", "histogram", "'seconds', the word of its unit"),
        ("sent.bytes", "By/s", "gauge", "'bytes', the word of its unit"),
        ("sent.per.second", "{x}/s", "gauge", "adds again"),
        ("foo_", "", "gauge", "trailing or doubled"),
        ("foo.", "", "gauge", "trailing or doubled"),
        ("foo..bar", "", "gauge", "trailing or doubled"),
        ("foo._bar", "", "gauge", "trailing or doubled"),
        ("3d.views", "", "counter", "begins with a digit"),
        ("", "", "gauge", "no instrument name"),
        ("größe", "", "gauge", "no instrument name"),
        ("cpu.usage", "1", "gauge", "end its name in 'ratio'"),
        ("ratio.of.hits", "1", "gauge", "'ratio' inside"),
        ("foo", "By/{x}", "gauge", "joins a unit and an annotation"),
        ("foo", "By{x}", "gauge", "joins a unit and an annotation"),
        ("foo", "By/", "gauge", "lacks a part"),
        ("foo", "m^2", "gauge", "characters that translators replace"),
        ("foo", "custom_unit", "gauge", "characters that translators replace"),
        ("foo", " s", "gauge", "characters that translators replace"),
        ("foo", "%/s", "gauge", "characters that translators replace"),
    ],
)
def test_a_name_with_a_problem_gets_reason_and_remedy(
    name: str, unit: str, instrument: Instrument, reason: str
) -> None:
    """What translators render differently is refused in a sentence that says what to do."""
    sentence = problem(name, unit, instrument)

    assert sentence is not None
    assert reason in sentence
    assert "; " in sentence


_WORDS = st.sampled_from(
    ["total", "seconds", "bytes", "ratio", "per", "second", "a", "b2", "count", "utilization"]
)
_UNITS = st.sampled_from(
    [
        "",
        "s",
        "By",
        "By/s",
        "1/s",
        "1",
        "{x}",
        "{x}/s",
        "x/{y}",
        "By{x}",
        "USD",
        "%",
        "m/",
        "w",
        "x/1",
    ]
)


@given(
    words=st.lists(_WORDS, min_size=1, max_size=4),
    separator=st.sampled_from([".", "_", "..", "-", "/"]),
    unit=_UNITS,
    instrument=st.sampled_from(["counter", "updowncounter", "gauge", "histogram"]),
)
def test_a_name_without_a_problem_is_rendered_alike_by_the_upstream_exporter(
    words: list[str], separator: str, unit: str, instrument: Instrument
) -> None:
    """`problem` finds every name on which the Python exporter and the Go translators disagree."""
    name = separator.join(words)
    assume(not (instrument == "gauge" and unit == "1" and words[-1] == "utilization"))

    if problem(name, unit, instrument) is None:
        assert metric_name(name, unit, instrument) == _upstream_name(name, unit, instrument)


def _upstream_name(name: str, unit: str, instrument: Instrument) -> str:
    registry = CollectorRegistry()
    provider = MeterProvider(
        metric_readers=[PrometheusMetricReader(disable_target_info=True, registry=registry)],
        shutdown_on_exit=False,
    )
    meter = provider.get_meter("test")
    match instrument:
        case "counter":
            meter.create_counter(name, unit).add(1)
        case "updowncounter":
            meter.create_up_down_counter(name, unit).add(1)
        case "gauge":
            meter.create_gauge(name, unit).set(1)
        case "histogram":
            meter.create_histogram(name, unit).record(1)
    (family,) = registry.collect()
    provider.shutdown()
    return family.name + "_total" if instrument == "counter" else family.name

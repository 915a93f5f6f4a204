"""The standard variables, and what is said of values that cannot be used."""

from typing import Any

import pytest
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from otel_metrics.pipeline.otlp_settings import OtlpSettings, Problem, Signal, settings
from otel_metrics.pipeline.otlp_values import Secret
from otel_metrics.pipeline.otlp_variables import VARIABLES

PREFIX = "OTEL_EXPORTER_OTLP_"
DELTA = AggregationTemporality.DELTA


def read(signal: Signal = "metrics", **values: str) -> OtlpSettings:
    """Return the settings that variables, without their prefix, say; there must be no problem."""
    made, problems = settings({PREFIX + name: value for name, value in values.items()}, signal)
    assert problems == ()
    return made


def problem(values: dict[str, str]) -> str:
    """Return the one problem that variables, without their prefix, have."""
    _, problems = settings({PREFIX + name: value for name, value in values.items()}, "metrics")
    [found] = problems
    return str(found).removeprefix(PREFIX)


def test_defaults() -> None:
    """With nothing set, metrics go by gRPC to a collector on this machine, without TLS."""
    assert read() == OtlpSettings(
        signal="metrics",
        protocol="grpc",
        endpoint="http://localhost:4317",
        insecure=True,
        headers=(),
        timeout_s=10.0,
        compression="none",
    )


def test_empty_means_unset() -> None:
    """A variable that is set to nothing has no effect."""
    nothing = {variable.name: " " for variable in VARIABLES}

    assert settings(nothing, "logs") == settings({}, "logs")


@pytest.mark.parametrize(
    ("signal", "values", "endpoint"),
    [
        ("metrics", {}, "http://localhost:4318/v1/metrics"),
        ("logs", {}, "http://localhost:4318/v1/logs"),
        ("metrics", {"ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/metrics"),
        ("logs", {"ENDPOINT": "https://c/otlp"}, "https://c/otlp/v1/logs"),
        ("metrics", {"METRICS_ENDPOINT": "https://c/otlp/"}, "https://c/otlp/"),
        ("logs", {"METRICS_ENDPOINT": "https://c"}, "http://localhost:4318/v1/logs"),
        ("logs", {"ENDPOINT": "http://a", "LOGS_ENDPOINT": "http://b/x"}, "http://b/x"),
    ],
)
def test_http_endpoints(signal: Signal, values: dict[str, str], endpoint: str) -> None:
    """The general endpoint gets the signal's path; a signal's own is used as it is."""
    assert read(signal, PROTOCOL="http/protobuf", **values).endpoint == endpoint


@pytest.mark.parametrize(
    ("endpoint", "insecure", "expected", "address"),
    [
        ("http://c:4317", "", True, "c:4317"),
        ("https://c:4317", "", False, "c:4317"),
        ("https://c:4317", "true", False, "c:4317"),
        ("http://c:4317", "false", False, "c:4317"),
        ("c:4317", "", False, "c:4317"),
        ("c:4317", "true", True, "c:4317"),
        ("unix:///run/otel.sock", "true", True, "unix:///run/otel.sock"),
        ("http://[::1]:4317", "", True, "[::1]:4317"),
        ("https://c", "", False, "c:443"),
    ],
)
def test_grpc_endpoints(endpoint: str, insecure: str, expected: bool, address: str) -> None:
    """TLS or not is decided as by upstream: https always, http if not told otherwise."""
    made = read(ENDPOINT=endpoint, INSECURE=insecure)

    assert (made.insecure, made.address) == (expected, address)


def test_own_variables_go_first() -> None:
    """Each general variable can be said for one signal alone."""
    general = {
        "PROTOCOL": "grpc",
        "HEADERS": "a=1",
        "TIMEOUT": "1",
        "COMPRESSION": "none",
        "CERTIFICATE": "/ca",
        "CLIENT_KEY": "/key",
        "CLIENT_CERTIFICATE": "/cert",
    }
    own = {
        "LOGS_ENDPOINT": "https://c/x",
        "LOGS_PROTOCOL": "http/protobuf",
        "LOGS_HEADERS": "b=2",
        "LOGS_TIMEOUT": "2.5",
        "LOGS_COMPRESSION": "deflate",
        "LOGS_CERTIFICATE": "/logs/ca",
        "LOGS_CLIENT_KEY": "/logs/key",
        "LOGS_CLIENT_CERTIFICATE": "/logs/cert",
    }

    assert read("logs", **general, **own) == OtlpSettings(
        signal="logs",
        protocol="http/protobuf",
        endpoint="https://c/x",
        insecure=False,
        headers=(("b", Secret("2")),),
        timeout_s=2.5,
        compression="deflate",
        certificate="/logs/ca",
        client_key="/logs/key",
        client_certificate="/logs/cert",
    )
    assert read("metrics", **general, **own).timeout_s == 1.0


@pytest.mark.parametrize(
    ("text", "expected"), [("10", 10.0), ("0.5", 0.5), ("500ms", 0.5), ("2s", 2.0), ("1m", 60.0)]
)
def test_timeout_is_in_seconds(text: str, expected: float) -> None:
    """A number is seconds, as in upstream's Python exporters; a unit may be given."""
    assert read(TIMEOUT=text).timeout_s == expected


def test_user_and_password_become_a_header() -> None:
    """They are sent, and are not part of an address that is shown."""
    made = read(ENDPOINT="http://me:s3%20cret@c:4317")

    assert made.headers == (("authorization", Secret("Basic bWU6czMgY3JldA==")),)
    assert made.endpoint == "http://c:4317"


def test_a_configured_header_goes_before_the_password() -> None:
    """Whoever sets both means the header."""
    made = read(ENDPOINT="http://me:pw@c:4317", HEADERS="Authorization=Bearer%20x")

    assert made.headers == (("authorization", Secret("Bearer x")),)


def test_secrets_are_not_shown() -> None:
    """Neither settings nor a secret itself show a header's value, however they are printed."""
    made = read(HEADERS="api-key=s3cret")

    shown = [repr(made), str(made), f"{made.headers}", f"{made.headers[0][1]:}"]
    assert not any("s3cret" in text for text in shown)
    assert made.headers[0][1].reveal() == "s3cret"


@pytest.mark.parametrize(
    ("text", "temporality"),
    [
        ("", {}),
        ("cumulative", {}),
        ("Delta", {Counter: DELTA, Histogram: DELTA, ObservableCounter: DELTA}),
        ("LOWMEMORY", {Counter: DELTA, Histogram: DELTA}),
    ],
)
def test_temporality_preference(text: str, temporality: dict[type, Any]) -> None:
    """What is not cumulative is named by instrument, as upstream does."""
    assert read(METRICS_TEMPORALITY_PREFERENCE=text).preferred_temporality == temporality


def test_histogram_aggregation() -> None:
    """Only the exponential one is asked of a reader; the other is the SDK's own."""
    made = read(METRICS_DEFAULT_HISTOGRAM_AGGREGATION="BASE2_exponential_bucket_histogram")

    [(instrument, aggregation)] = made.preferred_aggregation.items()
    assert instrument is Histogram
    assert isinstance(aggregation, ExponentialBucketHistogramAggregation)
    assert read().preferred_aggregation == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"PROTOCOL": "http/protobuff"},
            (
                "PROTOCOL=http/protobuff: accepted: grpc, http/protobuf "
                "(did you mean 'http/protobuf'?); used instead: grpc"
            ),
        ),
        (
            {"PROTOCOL": "http/json"},
            "PROTOCOL=http/json: not supported; used instead: http/protobuf, on the same endpoint",
        ),
        (
            {"ENDPOINT": "htpp://c:4317"},
            (
                "ENDPOINT=htpp://c:4317: no address: did you mean http://?; "
                "used instead: http://localhost:4317"
            ),
        ),
        (
            {"ENDPOINT": "http://c:99999"},
            (
                "ENDPOINT=http://c:99999: no address: the port must be a number up to 65535; "
                "used instead: http://localhost:4317"
            ),
        ),
        (
            {"ENDPOINT": "http://me:pw@:4317"},
            (
                "ENDPOINT=http://***@:4317: no address: host or port is missing; "
                "used instead: http://localhost:4317"
            ),
        ),
        (
            {"ENDPOINT": "me:pw@c:4317"},
            (
                "ENDPOINT=***@c:4317: a target without http:// or https:// holds no user and "
                "password; used instead: http://localhost:4317"
            ),
        ),
        (
            {"METRICS_ENDPOINT": "c:4318", "PROTOCOL": "http/protobuf", "ENDPOINT": "http://d"},
            (
                "METRICS_ENDPOINT=c:4318: accepted are URLs that begin with http:// or https://; "
                "used instead: OTEL_EXPORTER_OTLP_ENDPOINT=http://d"
            ),
        ),
        (
            {"TIMEOUT": "soon"},
            (
                "TIMEOUT=soon: accepted are seconds, such as 10, or a time such as 500ms; "
                "used instead: 10 seconds"
            ),
        ),
        (
            {"TIMEOUT": "0"},
            (
                "TIMEOUT=0: accepted is a time above zero, up to a day; a number is seconds; "
                "used instead: 10 seconds"
            ),
        ),
        (
            {"COMPRESSION": "gzp"},
            "COMPRESSION=gzp: accepted: none, gzip (did you mean 'gzip'?); used instead: none",
        ),
        (
            {"INSECURE": "ture"},
            (
                "INSECURE=ture: accepted: true, false (did you mean 'true'?); "
                "used instead: what the endpoint says"
            ),
        ),
        (
            {"CLIENT_KEY": "/key"},
            "CLIENT_KEY=/key: has no effect without a CLIENT_CERTIFICATE",
        ),
        (
            {"METRICS_TEMPORALITY_PREFERENCE": "dleta"},
            (
                "METRICS_TEMPORALITY_PREFERENCE=dleta: accepted: cumulative, delta, lowmemory "
                "(did you mean 'delta'?); used instead: cumulative"
            ),
        ),
        (
            {"METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "exponential"},
            (
                "METRICS_DEFAULT_HISTOGRAM_AGGREGATION=exponential: accepted: "
                "explicit_bucket_histogram, base2_exponential_bucket_histogram "
                "(did you mean 'base2_exponential_bucket_histogram'?); "
                "used instead: explicit_bucket_histogram"
            ),
        ),
        (
            {"HEADERS": "good=1,s3cret,k=%0dx%0ay"},
            (
                "HEADERS=***: header 2 is no name=value in URL encoding; "
                "header 3 (k) has a value that is not printable ASCII; "
                "used instead: the other headers"
            ),
        ),
        (
            {"METRIC_HEADERS": "key=s3cret"},
            (
                "METRIC_HEADERS=***: no such variable; "
                "did you mean OTEL_EXPORTER_OTLP_METRICS_HEADERS?"
            ),
        ),
        (
            {"ENDPIONT": "http://c"},
            "ENDPIONT=***: no such variable; did you mean OTEL_EXPORTER_OTLP_ENDPOINT?",
        ),
    ],
)
def test_problems(values: dict[str, str], message: str) -> None:
    """What cannot be used is named with what is accepted and what is used instead."""
    assert problem(values) == message


def test_others_variables_are_no_typos() -> None:
    """Variables of traces, and of other languages' SDKs, are not remarked upon."""
    _, problems = settings(
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t",
            "OTEL_EXPORTER_OTLP_METRICS_EXEMPLARS": "x",
            "OTEL_EXPORTER_ZIPKIN_ENDPOINT": "http://z",
        },
        "metrics",
    )

    assert problems == ()


def test_bad_own_value_falls_back_to_the_general_one() -> None:
    """A wrong value of one signal does not undo what holds for all."""
    made, problems = settings(
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "3", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "x"}, "logs"
    )

    accepted = "accepted are seconds, such as 10, or a time such as 500ms"
    used = "OTEL_EXPORTER_OTLP_TIMEOUT=3"
    expected = Problem("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "x", f"{accepted}; used instead: {used}")
    assert (made.timeout_s, problems) == (3.0, (expected,))


def test_every_variable_is_documented() -> None:
    """The table for the reference page has each variable once, with a meaning."""
    names = [variable.name for variable in VARIABLES]

    assert len(set(names)) == len(names) == 29
    assert all(variable.meaning.endswith(".") for variable in VARIABLES)

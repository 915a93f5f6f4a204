"""Exports against real servers of both protocols: what arrives, and what is called delivered."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_metrics.errors import ConfigurationError
from otel_metrics.pipeline import otlp
from otel_metrics.pipeline.delivery import DELIVERED, Outcome
from otel_metrics.pipeline.otlp import OtlpLogExporter, OtlpMetricExporter, OtlpStats

Make = Callable[..., Any]
UNAVAILABLE = {"status": 503, "code": grpc.StatusCode.UNAVAILABLE}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "BACKOFF_FIRST_S", 0.01)


@pytest.fixture
def answer(collector: Any) -> Make:
    """Return a maker of answers, of the class that the collectors' fixtures use."""
    return type(collector.next_answer())


def _points(message: Any) -> list[tuple[dict[str, int], int]]:
    return [
        ({pair.key: pair.value.int_value for pair in point.attributes}, point.as_int)
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.sum.data_points
    ]


def test_exact_points_arrive(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """A batch arrives as it is, with resource, scope, unit and times."""
    outcome = metric_exporter(collector).export(batch(7, 8), 5)

    [message] = collector.messages
    resource = message.resource_metrics[0]
    metric = resource.scope_metrics[0].metrics[0]
    assert outcome == DELIVERED
    assert _points(message) == [({"n": 0}, 7), ({"n": 1}, 8)]
    assert (metric.name, metric.unit, metric.description) == ("runs", "{run}", "What ran.")
    assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (True, 2)
    assert metric.sum.data_points[0].start_time_unix_nano == 1
    assert resource.resource.attributes[0].value.string_value == "tests"


def test_events_arrive(collector: Any, log_exporter: Make) -> None:
    """A log record arrives with its event name, attributes and trace context."""
    record = LogRecord(
        timestamp=5,
        observed_timestamp=6,
        event_name="skill.run",
        severity_number=SeverityNumber.INFO,
        attributes={"skill": "lint", "parts": [1, 2]},
        body={"why": "because"},
    )
    readable = ReadableLogRecord(record, Resource({"service.name": "t"}), InstrumentationScope("s"))

    outcome = log_exporter(collector).export([readable], 5)

    [message] = collector.messages
    sent = message.resource_logs[0].scope_logs[0].log_records[0]
    assert outcome == DELIVERED
    assert (sent.event_name, sent.time_unix_nano) == ("skill.run", 5)
    assert sent.attributes[0].value.string_value == "lint"
    assert sent.body.kvlist_value.values[0].value.string_value == "because"


def test_headers_arrive(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """Each configured header is sent, and says who sends."""
    exporter = metric_exporter(collector, headers={"Authorization": "Bearer t0ken", "x-team": "a"})

    exporter.export(batch(), 5)

    [headers] = collector.headers
    assert (headers["authorization"], headers["x-team"]) == ("Bearer t0ken", "a")
    assert headers["user-agent"].startswith("otel-metrics/")


def test_gzip_arrives(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """A compressed request is read as the same points."""
    outcome = metric_exporter(collector, compression="gzip").export(batch(3), 5)

    assert outcome == DELIVERED
    assert _points(collector.messages[0]) == [({"n": 0}, 3)]


def test_counts(collector: Any, metric_exporter: Make, batch: Make, answer: Make) -> None:
    """Points are counted as the server took them, and as they failed."""
    exporter = metric_exporter(collector)
    exporter.export(batch(1, 2, 3), 5)
    collector.answers = [answer(status=400, code=grpc.StatusCode.INVALID_ARGUMENT)]
    exporter.export(batch(1, 2), 5)

    size = collector.messages[0].ByteSize()
    assert exporter.stats() == OtlpStats(exported=3, failed=2, rejected={}, bytes_sent=size)


def test_partial_success_is_failed(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """What a server rejects in part is not delivered; its message is the reason."""
    body = ExportMetricsServiceResponse()
    body.partial_success.rejected_data_points = 2
    body.partial_success.error_message = "too old"
    collector.answers = [answer(body=body.SerializeToString())]

    outcome = metric_exporter(collector).export(batch(1, 2, 3), 5)

    assert outcome == Outcome(False, "partial success: 2 data points rejected: too old")
    assert len(collector.messages) == 1


def test_partial_success_of_events_is_failed(
    collector: Any, log_exporter: Make, answer: Make
) -> None:
    """Rejected records are no delivery either."""
    body = ExportLogsServiceResponse()
    body.partial_success.rejected_log_records = 1
    collector.answers = [answer(body=body.SerializeToString())]
    record = ReadableLogRecord(LogRecord(timestamp=1, observed_timestamp=1, body="x"), Resource({}))

    outcome = log_exporter(collector).export([record], 5)

    assert outcome == Outcome(False, "partial success: 1 log records rejected")


def test_remark_is_delivered_and_logged_once(
    collector: Any,
    metric_exporter: Make,
    batch: Make,
    answer: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that took everything may remark something, which is logged once."""
    body = ExportMetricsServiceResponse()
    body.partial_success.error_message = "this endpoint moves in May"
    collector.answers = [answer(body=body.SerializeToString()) for _ in range(3)]
    exporter = metric_exporter(collector)

    outcomes = [exporter.export(batch(), 5) for _ in range(3)]

    assert outcomes == [DELIVERED] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "exporter otlp (metrics): the server took everything, and says: this endpoint moves in May"
    ]


def test_later_is_tried_again(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """A server that cannot take it now gets the same request again."""
    collector.answers = [answer(**UNAVAILABLE), answer(**UNAVAILABLE)]

    outcome = metric_exporter(collector).export(batch(4), 5)

    assert outcome == DELIVERED
    assert [_points(message) for message in collector.messages] == [[({"n": 0}, 4)]] * 3


def test_attempts_are_bounded(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """A server that never can is left alone after six attempts."""
    collector.answers = [answer(**UNAVAILABLE, message="busy") for _ in range(9)]

    outcome = metric_exporter(collector).export(batch(), 5)

    assert not outcome.ok
    assert len(collector.messages) == 6


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (404, grpc.StatusCode.UNIMPLEMENTED),
        (500, grpc.StatusCode.INTERNAL),
        (500, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_never_is_not_tried_again(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make, status: int, code: Any
) -> None:
    """What the server does not want is posted once; who is not let in is told what to check."""
    collector.answers = [answer(status=status, code=code, message="no", body=b"no")]

    outcome = metric_exporter(collector).export(batch(), 5)

    kind = code.name if collector.protocol == "grpc" else f"HTTP {status}"
    where = collector.endpoint.removeprefix("http://").removesuffix("/v1/metrics")
    hint = "; check OTEL_EXPORTER_OTLP_HEADERS" if status in (401, 403) else ""
    assert outcome == Outcome(False, f"{kind}: no ({where}){hint}")
    assert len(collector.messages) == 1


def test_reason_is_short_printable_and_without_secrets(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """A server that echoes what it was sent reveals nothing in a log."""
    said = f"Bearer t0ken-1 t0ken-1 {chr(27)}[31m" + "x" * 500
    collector.answers = [
        answer(status=401, code=grpc.StatusCode.UNAUTHENTICATED, message=said, body=said.encode())
    ]
    exporter = metric_exporter(collector, headers={"authorization": "Bearer t0ken-1"})

    outcome = exporter.export(batch(), 5)

    assert outcome.reason is not None
    assert "t0ken-1" not in outcome.reason + repr(exporter.settings)
    assert "*** *** [31mxxx" in outcome.reason
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 280


def test_dead_endpoint_fails_quickly(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """Where nobody listens, the verdict does not take the whole timeout."""
    endpoint = "http://localhost:1" + ("" if collector.protocol == "grpc" else "/v1/metrics")
    exporter = metric_exporter(collector, endpoint=endpoint)
    begun = time.monotonic()

    outcome = exporter.export(batch(), 5)

    assert outcome == Outcome(False, "UNAVAILABLE: connection refused (localhost:1)")
    assert time.monotonic() - begun < 2


def test_settings_may_shorten_the_timeout(
    collector: Any, metric_exporter: Make, batch: Make, talker: Make
) -> None:
    """A server that takes everything and says nothing is given up at the deadline."""
    port = talker(lambda connection: None)
    path = "" if collector.protocol == "grpc" else "/v1/metrics"
    exporter = metric_exporter(collector, endpoint=f"http://localhost:{port}{path}", timeout_s=0.3)
    begun = time.monotonic()

    outcome = exporter.export(batch(), 5)

    assert outcome == Outcome(False, f"DEADLINE_EXCEEDED: no answer in time (localhost:{port})")
    assert time.monotonic() - begun < 0.6


def test_server_is_asked_no_sooner_than_it_said(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """A request to wait longer than there is time ends the export, and holds for the next."""
    info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=30))
    status = status_pb2.Status()
    status.details.add().Pack(info)
    collector.answers = [
        answer(
            status=503,
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            headers={"retry-after": "30"},
            message="busy",
            body=b"busy",
            trailing=(("grpc-status-details-bin", status.SerializeToString()),),
        )
    ]
    exporter = metric_exporter(collector)

    first, second = exporter.export(batch(), 1), exporter.export(batch(), 1)

    assert not first.ok
    assert second.reason == f"{first.reason}; it asked to wait another 30 s"
    assert len(collector.messages) == 1


def test_poison_is_left_out_and_counted(
    collector: Any, metric_exporter: Make, batch: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Points that cannot be encoded do not keep the others back."""
    exporter = metric_exporter(collector)

    outcome = exporter.export(batch(1, True, 2**63, 4), 5)

    text = "2 could not be encoded and were left out: runs"
    assert outcome == Outcome(True, text)
    assert _points(collector.messages[0]) == [({"n": 0}, 1), ({"n": 3}, 4)]
    assert exporter.stats().rejected == {"unencodable": 2}
    assert caplog.messages == [f"exporter otlp (metrics): {text}"]


def test_too_large_is_dropped(
    collector: Any, metric_exporter: Make, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over our own limit, point by point, is counted and never sent."""
    monkeypatch.setattr(otlp, "REQUEST_BYTES_MAX", 20)
    exporter = metric_exporter(collector)

    outcome = exporter.export(batch(*range(50)), 5)

    assert not outcome.ok
    assert exporter.stats().rejected == {"too_large": 50}
    assert collector.messages == []


def test_shutdown_ends_an_export_at_once(
    collector: Any, metric_exporter: Make, batch: Make, talker: Make
) -> None:
    """An export that waits for a silent server ends when the exporter is shut down."""
    port = talker(lambda connection: exporter.shutdown(5))
    path = "" if collector.protocol == "grpc" else "/v1/metrics"
    endpoint = f"http://localhost:{port}{path}"
    exporter: OtlpMetricExporter = metric_exporter(collector, endpoint=endpoint)
    begun = time.monotonic()

    outcome = exporter.export(batch(), 10)

    assert outcome == Outcome(False, "shut down")
    assert time.monotonic() - begun < 5
    assert exporter.export(batch(), 10) == Outcome(False, "shut down")


def test_after_fork_begins_anew(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """A child counts from zero and makes a connection of its own."""
    exporter = metric_exporter(collector)
    exporter.export(batch(), 5)

    exporter.after_fork()

    assert exporter.stats() == OtlpStats(exported=0, failed=0, rejected={}, bytes_sent=0)
    assert exporter.export(batch(), 5) == DELIVERED


def test_an_empty_batch_is_delivered(
    collector: Any, metric_exporter: Make, log_exporter: Make
) -> None:
    """Nothing to send is sent to nobody."""
    outcomes = (
        metric_exporter(collector).export(MetricsData([]), 5),
        log_exporter(collector).export([], 5),
    )

    assert outcomes == (DELIVERED, DELIVERED)
    assert collector.messages == []


def test_temporality_preference_is_offered_to_a_reader() -> None:
    """A reader finds what the exporter prefers where the SDK's exporters keep it."""
    settings, _ = otlp.settings(
        {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}, "metrics"
    )

    exporter = OtlpMetricExporter.from_settings(settings)

    kinds = (Counter, Histogram, ObservableCounter)
    delta = dict.fromkeys(kinds, AggregationTemporality.DELTA)
    assert getattr(exporter, "_preferred_temporality") == delta  # noqa: B009  # read by name
    assert getattr(exporter, "_preferred_aggregation") == {}  # noqa: B009


def test_from_settings_makes_a_log_exporter() -> None:
    """Settings read from variables make an exporter of their signal."""
    settings, _ = otlp.settings({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://logs:1"}, "logs")

    assert OtlpLogExporter.from_settings(settings).settings.address == "logs:1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"protocol": "http"},
            "protocol=http: accepted: grpc, http/protobuf (did you mean 'http/protobuf'?)",
        ),
        (
            {"endpoint": "localhost:4318", "protocol": "http/protobuf"},
            "endpoint=localhost:4318: accepted are URLs that begin with http:// or https://",
        ),
        ({"timeout_s": 0}, "timeout_s=0: accepted are seconds above zero"),
        ({"compression": "zstd"}, "compression=zstd: accepted: none, gzip"),
        (
            {"headers": {"a": "s3cret\n"}},
            "headers: a header (a) has a value that is not printable ASCII",
        ),
        (
            {"temporality": "dleta"},
            "temporality=dleta: accepted: cumulative, delta, lowmemory (did you mean 'delta'?)",
        ),
    ],
)
def test_bad_arguments_raise(arguments: dict[str, Any], message: str) -> None:
    """A wrong argument says what is accepted, and no secret."""
    with pytest.raises(ConfigurationError) as caught:
        OtlpMetricExporter(**arguments)

    assert str(caught.value) == message


def test_trouble_inside_never_leaves_the_exporter(
    collector: Any, metric_exporter: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Even what is no batch at all comes back as a failure."""
    caplog.set_level(logging.INFO)

    outcome = metric_exporter(collector).export(object(), 5)

    assert outcome == Outcome(False, "internal error: AttributeError")
    assert caplog.messages == []


def test_nothing_heavy_is_loaded_before_the_first_export() -> None:
    """A service that makes an exporter does not pay for gRPC or protobuf at its start."""
    script = (
        "import sys; from otel_metrics.pipeline.otlp import OtlpMetricExporter;"
        "OtlpMetricExporter().stats();"
        "heavy = {'grpc', 'google.protobuf', 'http.client'}; print(heavy & set(sys.modules))"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (ended.stdout, ended.stderr) == ("set()\n", "")


FORKING = """
import os, sys
from opentelemetry.sdk.metrics.export import Gauge, Metric, MetricsData, NumberDataPoint
from opentelemetry.sdk.metrics.export import ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from otel_metrics.pipeline.otlp import OtlpMetricExporter

def batch(value):
    metric = Metric("m", "", "", Gauge([NumberDataPoint({}, 1, 2, value)]))
    scope = ScopeMetrics(InstrumentationScope("s"), [metric], "")
    return MetricsData([ResourceMetrics(Resource({}), [scope], "")])

exporter = OtlpMetricExporter(endpoint=sys.argv[1], protocol=sys.argv[2])
assert exporter.export(batch(1), 5).ok
for value in range(2, 6):
    child = os.fork()
    if child == 0:
        ok = exporter.export(batch(value), 5).ok and exporter.stats().exported == 1
        exporter.shutdown(1)
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
assert exporter.export(batch(6), 5).ok
assert exporter.stats().exported == 2
"""


@pytest.mark.slow
def test_children_have_connections_of_their_own(collector: Any) -> None:
    """Forked children deliver, and leave their parent's connection as it was."""
    # 3.12 and later warn at every fork of a process with threads; gRPC has some.
    python = [sys.executable, "-W", "ignore::DeprecationWarning"]
    command = [*python, "-c", FORKING, collector.endpoint, collector.protocol]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)

    values = [
        message.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].as_int
        for message in collector.messages
    ]
    assert (ended.returncode, ended.stderr, values) == (0, "", [1, 2, 3, 4, 5, 6])

"""`otel-metrics archive replay`, to servers that answer well, badly, in part and not at all."""

import copy
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from otel_exporter_ndjson import read_events, read_metrics
from otel_metrics.cli.archive import archive
from tests.otel_metrics.archive.everything import record_everything
from tests.otel_metrics.archive.recorded import (
    T0,
    batch,
    compress,
    emit,
    event,
    exporter,
    record,
    segment_path,
    total,
)
from tests.otel_metrics.pipeline.conftest import Answer, Collector, MakeCollector

WRITERS = 5


def run(*arguments: object) -> Result:
    return CliRunner().invoke(archive, ["replay", *map(str, arguments)])


def to(collector: Collector) -> list[str]:
    """Return the words that name a collector."""
    return ["--endpoint", collector.endpoint, "--protocol", collector.protocol]


def records(messages: list[Any]) -> Counter[bytes]:
    """Return each record of OTLP requests, with the metric, scope and resource that it is of."""
    found: Counter[bytes] = Counter()
    for message in map(copy.deepcopy, messages):
        if hasattr(message, "resource_metrics"):
            found.update(_points(message))
        else:
            found.update(_events(message))
    return found


def _points(message: Any) -> Any:
    for resource in message.resource_metrics:
        of_resource = resource.resource.SerializeToString() + resource.schema_url.encode()
        for scope in resource.scope_metrics:
            of_scope = scope.scope.SerializeToString() + scope.schema_url.encode()
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                points = [point.SerializeToString() for point in data.data_points]
                data.ClearField("data_points")
                for point in points:
                    yield b"|".join([of_resource, of_scope, metric.SerializeToString(), point])


def _events(message: Any) -> Any:
    for resource in message.resource_logs:
        of_resource = resource.resource.SerializeToString() + resource.schema_url.encode()
        for scope in resource.scope_logs:
            of_scope = scope.scope.SerializeToString() + scope.schema_url.encode()
            for each in scope.log_records:
                yield b"|".join([of_resource, of_scope, each.SerializeToString()])


def archived(folder: Path) -> Counter[bytes]:
    """Return each record of an archive, as upstream encodes it."""
    metrics = [encode_metrics(data) for data in read_metrics(folder)]
    return records([*metrics, *(encode_logs([each]) for each in read_events(folder))])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of several writers, each of which is a request of its own."""
    for number in range(WRITERS):
        record(tmp_path / "a", [total(number, number), total(number, number, name="b")])
    return tmp_path / "a"


def test_every_record_arrives_as_it_was(collector: Collector, tmp_path: Path) -> None:
    """Both signals; the summary says how many."""
    record_everything(tmp_path / "a")

    result = run("--archive", tmp_path / "a", *to(collector), "--format", "json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert records(collector.messages) == archived(tmp_path / "a")
    (row,) = json.loads(result.stdout)
    assert (row["requests"], row["accepted"], row["rejected"]) == (2, 30, 0)


def test_http_is_spoken_to_a_path(http_collector: MakeCollector, folder: Path) -> None:
    """And a path of one signal is good for both."""
    collector = http_collector()
    emit(folder, event("e", 1))

    result = run("--archive", folder, "--endpoint", collector.endpoint)

    assert result.exit_code == 0
    assert set(collector.paths) == {"/v1/metrics", "/v1/logs"}


def test_a_replay_goes_on_where_it_ended(
    collector: Collector, folder: Path, tmp_path: Path
) -> None:
    """What was acknowledged is not sent again, what was refused is."""
    words = ["--archive", folder, *to(collector), "--cursor", tmp_path / "cursor"]
    refused = Answer(status=403, code=grpc.StatusCode.PERMISSION_DENIED, message="no")
    collector.answers = [Answer(), Answer(), refused]

    first = run(*words)
    sent, collector.messages[:] = records(collector.messages[:2]), []
    second = run(*words, "--format", "json")

    assert (first.exit_code, second.exit_code) == (1, 0)
    assert "not delivered:" in first.stderr
    assert sent + records(collector.messages) == archived(folder)
    assert json.loads(second.stdout)[0]["requests"] == WRITERS - 2


def test_nothing_is_sent_twice_with_a_cursor(
    collector: Collector, folder: Path, tmp_path: Path
) -> None:
    """What was recorded meanwhile is, by old writers and new."""
    words = ["--archive", folder, *to(collector), "--cursor", tmp_path / "cursor"]
    run(*words)
    record(folder, [total(9, 9)])

    assert run(*words).exit_code == 0
    assert run(*words).exit_code == 0
    assert records(collector.messages) == archived(folder)


def test_a_living_writers_segment_is_followed(collector: Collector, tmp_path: Path) -> None:
    """Record after record, once each, also when it was rotated and compressed meanwhile."""
    writer = exporter(tmp_path / "a")
    words = ["--archive", tmp_path / "a", *to(collector), "--cursor", tmp_path / "cursor"]
    for number in range(3):
        writer.export(batch(total(number, number)))
        assert run(*words).exit_code == 0
    writer.export(batch(total(3, 3), service="bank"))  # in a segment of its own
    writer.export(batch(total(4, 4)))
    writer.shutdown()
    compress(tmp_path / "a")
    assert run(*words).exit_code == 0

    assert records(collector.messages) == archived(tmp_path / "a")
    assert len(collector.messages) == 5


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_a_replay_that_was_ended_sends_no_more_than_its_last_batch_again(
    collector: Collector,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    status: int,
) -> None:
    """Killed or interrupted with a request on its way, and taken up: all of it arrives."""
    words = [*("--archive", folder), *to(collector), "--cursor", tmp_path / "cursor"]
    command = [sys.executable, "-m", "otel_metrics", "archive", "replay", *map(str, words)]
    process: subprocess.Popen[bytes]

    def end_on_third() -> Answer:
        if len(collector.messages) == 3:
            process.send_signal(number)
            process.wait()
        return Answer()

    monkeypatch.setattr(collector, "next_answer", end_on_third)
    with subprocess.Popen(command, cwd=tmp_path) as process:
        assert process.wait(timeout=60) == status
    assert len(collector.messages) == 3
    in_flight = records(collector.messages[2:])

    assert run(*words).exit_code == 0
    assert records(collector.messages) == archived(folder) + in_flight


@pytest.mark.parametrize("kind", ["metrics", "events"])
def test_a_partial_success_is_told_and_passed(
    collector: Collector, tmp_path: Path, kind: str
) -> None:
    """With the number and the server's words; OTLP forbids to send it again."""
    record(tmp_path / "a", [total(1, 1), total(2, 2, name="b")])
    emit(tmp_path / "a", event("e", 1), event("f", 2))
    said: ExportMetricsServiceResponse | ExportLogsServiceResponse
    if kind == "metrics":
        points = ExportMetricsPartialSuccess(rejected_data_points=1, error_message="too old")
        said = ExportMetricsServiceResponse(partial_success=points)
    else:
        logs = ExportLogsPartialSuccess(rejected_log_records=1, error_message="too old")
        said = ExportLogsServiceResponse(partial_success=logs)
    headers = {"content-type": "application/x-protobuf"}
    collector.answers = [Answer(body=said.SerializeToString(), headers=headers)]
    words = ["--archive", tmp_path / "a", *to(collector), "--signal", kind]

    first = run(*words, "--cursor", tmp_path / "c", "--format", "json")
    second = run(*words, "--cursor", tmp_path / "c", "--format", "json")

    (row,) = json.loads(first.stdout)
    assert (first.exit_code, row["accepted"], row["rejected"]) == (3, 1, 1)
    assert "rejected: too old" in first.stderr
    assert (second.exit_code, json.loads(second.stdout)[0]["requests"]) == (0, 0)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_server_that_is_down_is_told(folder: Path, tmp_path: Path, protocol: str) -> None:
    """In one line, and nothing counts as sent."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    words = ["--endpoint", f"http://127.0.0.1:{port}", "--protocol", protocol]

    result = run("--archive", folder, *words, "--cursor", tmp_path / "c")

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "connection refused" in result.stderr.lower()
    assert str(port) in result.stderr
    assert not (tmp_path / "c").exists()


def test_grpc_to_a_server_of_http_names_the_other_protocol(
    http_collector: MakeCollector, folder: Path
) -> None:
    """Its own words are of frames and settings."""
    collector = http_collector()

    result = run("--archive", folder, "--endpoint", collector.endpoint, "--protocol", "grpc")

    assert result.exit_code == 1
    assert "--protocol http/protobuf" in result.stderr


def test_a_damaged_archive_is_replayed_in_part(collector: Collector, folder: Path) -> None:
    """The rest arrives; the damage is told with its place, and the status is 3."""
    emit(folder, event("e", 1), event("f", 2))
    whole = archived(folder)
    path = next(iter((folder / "events").rglob("*.ndjson")))
    data = path.read_bytes()
    os.chmod(path, 0o640)
    path.write_bytes(data.replace(b'"event":"e"', b'"event"!"e"'))

    result = run("--archive", folder, *to(collector))

    assert result.exit_code == 3
    assert str(path) in result.stderr
    missing = whole - records(collector.messages)
    assert missing.total() == 1


def test_what_until_left_out_comes_later(
    collector: Collector, folder: Path, tmp_path: Path
) -> None:
    """A cursor does not pass it."""
    words = ["--archive", folder, *to(collector), "--cursor", tmp_path / "c"]

    first = run(*words, "--until", "2026-09-21T14:13:22Z")
    early = records(collector.messages)
    second = run(*words)

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert early.total() == 4
    assert records(collector.messages) == archived(folder)
    assert T0 == 1_790_000_000 * 10**9  # 14:13:20


def test_headers_come_from_the_environment_and_are_not_shown(
    collector: Collector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the server repeats them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20geheim-1234")
    refused = grpc.StatusCode.UNAUTHENTICATED
    collector.answers = [Answer(status=401, code=refused, message="bad token geheim-1234")]

    result = run("--archive", folder, *to(collector))

    assert result.exit_code == 1
    assert collector.headers[0]["authorization"] == "Bearer geheim-1234"
    assert "geheim" not in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--endpoint", "http://me:pass@localhost:4317"], "can be seen by others"),
        (["--endpoint", "ftp://localhost/x", "--protocol", "http/protobuf"], "--endpoint=ftp"),
        (["--endpoint", "http://"], "--endpoint=http://: accepted are http://"),
        (["--endpoint", "ftp://localhost"], "--endpoint=ftp://localhost: accepted are http://"),
        (["--endpoint", "http://localhost:99999"], "--endpoint=http://localhost:99999: no address"),
        ([], "--endpoint"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused(
    folder: Path, words: list[str], message: str
) -> None:
    """Before anything is sent anywhere else."""
    result = run("--archive", folder, *words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert ":pass@" not in result.stderr


def test_a_misspelt_variable_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have held what the server asks for."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADER", "authorization=x")

    result = run("--archive", folder, "--endpoint", "http://localhost:1")

    assert result.exit_code == 2
    assert "did you mean OTEL_EXPORTER_OTLP_HEADERS?" in result.stderr


def test_the_endpoint_may_be_a_variable(
    collector: Collector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its protocol, and not the one of a signal alone."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", collector.protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://localhost:1")

    assert run("--archive", folder).exit_code == 0
    assert records(collector.messages) == archived(folder)


def test_a_cursor_of_another_endpoint_is_refused(
    collector: Collector, grpc_collector: MakeCollector, folder: Path, tmp_path: Path
) -> None:
    """Or the other would never get what this one has."""
    run("--archive", folder, *to(collector), "--cursor", tmp_path / "c")
    other = grpc_collector()

    result = run("--archive", folder, *to(other), "--cursor", tmp_path / "c")

    assert (result.exit_code, other.messages) == (2, [])
    assert "it is of endpoint" in result.stderr


def test_a_cursor_that_cannot_be_kept_is_refused(folder: Path, tmp_path: Path) -> None:
    """Before anything is sent."""
    words = ["--endpoint", "http://localhost:1", "--cursor", tmp_path / "none" / "c"]

    result = run("--archive", folder, *words)

    assert (result.exit_code, result.stderr) == (
        2,
        f"--cursor={tmp_path / 'none' / 'c'}: No such file or directory\n",
    )


def test_requests_can_be_made_smaller(collector: Collector, folder: Path) -> None:
    """For an endpoint that takes only small ones."""
    assert run("--archive", folder, *to(collector), "--batch", 1).exit_code == 0

    assert len(collector.messages) == 2 * WRITERS
    assert records(collector.messages) == archived(folder)


def test_what_otlp_cannot_say_is_counted(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of the batch arrives, and the status is 3."""
    record(tmp_path / "a", [total(2**64, 1), total(3, 1, name="b")])

    result = run("--archive", tmp_path / "a", *to(collector), "--format", "json")

    (row,) = json.loads(result.stdout)
    assert (result.exit_code, row["accepted"], row["left_out"]) == (3, 1, 1)
    assert "1 could not be encoded and were left out: jobs" in caplog.text


def test_one_segment_can_be_replayed(collector: Collector, tmp_path: Path) -> None:
    """By the path of its file."""
    record(tmp_path / "a", [total(1, 1)])

    result = run("--archive", segment_path(tmp_path / "a"), *to(collector))

    assert result.exit_code == 0
    assert records(collector.messages) == archived(tmp_path / "a")

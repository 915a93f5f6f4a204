"""OTLP over gRPC: TLS, the wait that a server asks for, and a parent's channel."""

import dataclasses
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from otel_metrics.pipeline import otlp
from otel_metrics.pipeline.delivery import DELIVERED, Outcome

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "BACKOFF_FIRST_S", 0.01)


@pytest.fixture
def collector(grpc_collector: Make) -> Any:
    """A collector that speaks gRPC."""
    return grpc_collector()


def _credentials(pair: tuple[str, str], *, client_authority: str | None = None) -> Any:
    certificate, key = (Path(path).read_bytes() for path in pair)
    authority = None if client_authority is None else Path(client_authority).read_bytes()
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def test_tls_with_an_authority_of_ones_own(
    grpc_collector: Make, metric_exporter: Make, batch: Make, tls_files: Any
) -> None:
    """A server whose certificate the configured authority signed is trusted."""
    collector = grpc_collector(credentials=_credentials(tls_files.server))

    outcome = metric_exporter(collector, certificate=tls_files.authority).export(batch(), 5)

    assert outcome == DELIVERED


@pytest.mark.parametrize(
    ("pair", "authority"),
    [("server", "stranger"), ("elsewhere", "authority"), ("expired", "authority")],
)
def test_tls_with_a_stranger_sends_nothing(
    grpc_collector: Make,
    metric_exporter: Make,
    batch: Make,
    tls_files: Any,
    pair: str,
    authority: str,
) -> None:
    """A server that is not trusted, is another one, or shows a certificate that has ended, gets no
    call and no header."""
    collector = grpc_collector(credentials=_credentials(getattr(tls_files, pair)))
    certificate = getattr(tls_files, authority)
    exporter = metric_exporter(collector, certificate=certificate, headers={"api-key": "s3cret"})

    outcome = exporter.export(batch(), 5)

    assert outcome.reason is not None
    assert outcome.reason.startswith("UNAVAILABLE: ")
    assert collector.messages == []


def test_mutual_tls(
    grpc_collector: Make, metric_exporter: Make, batch: Make, tls_files: Any
) -> None:
    """A server that wants to know who we are is shown the configured certificate."""
    credentials = _credentials(tls_files.server, client_authority=tls_files.authority)
    collector = grpc_collector(credentials=credentials)
    certificate, key = tls_files.client
    authority = tls_files.authority
    named = metric_exporter(
        collector, certificate=authority, client_certificate=certificate, client_key=key
    )
    nameless = metric_exporter(collector, certificate=authority)

    assert named.export(batch(), 5) == DELIVERED
    assert not nameless.export(batch(), 5).ok
    assert len(collector.messages) == 1


def test_missing_certificate_file_is_named(metric_exporter: Make, batch: Make) -> None:
    """A file that is not there fails the export, and never loosens the check."""
    exporter = metric_exporter(endpoint="https://localhost:1", certificate="/nowhere/ca.pem")

    outcome = exporter.export(batch(), 5)

    reason = "tls: cannot read /nowhere/ca.pem: No such file or directory (localhost:1)"
    assert outcome == Outcome(False, reason)


def test_retry_info_is_honoured(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """An exhausted server that says when is asked again then, and not before."""
    info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=200_000_000))
    collector.answers = [
        type(collector.next_answer())(
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            trailing=(("google.rpc.retryinfo-bin", info.SerializeToString()),),
        )
    ]
    begun = time.monotonic()

    outcome = metric_exporter(collector).export(batch(), 5)

    assert outcome == DELIVERED
    assert time.monotonic() - begun >= 0.2


def test_unreadable_details_are_no_obstacle(
    collector: Any, metric_exporter: Make, batch: Make
) -> None:
    """A server's details that make no sense change nothing."""
    collector.answers = [
        type(collector.next_answer())(
            code=grpc.StatusCode.UNAVAILABLE,
            trailing=(("grpc-status-details-bin", b"\xff\xff"), ("other-bin", b"\xff")),
        )
    ]

    assert metric_exporter(collector).export(batch(), 5) == DELIVERED


def test_header_that_grpc_refuses_is_a_reason(
    collector: Any, metric_exporter: Make, batch: Make
) -> None:
    """A name that only HTTP can carry fails the export in words, without the value."""
    exporter = metric_exporter(collector, headers={"a!b": "s3cret-value"})

    outcome = exporter.export(batch(), 5)

    assert not outcome.ok
    assert "s3cret-value" not in str(outcome.reason)


def test_server_that_comes_back_is_found(
    grpc_collector: Make, metric_exporter: Make, batch: Make
) -> None:
    """A collector that starts after the first export gets the second."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    exporter = metric_exporter(endpoint=f"http://localhost:{port}")

    before = exporter.export(batch(), 5)
    grpc_collector(port=port)
    after = exporter.export(batch(), 5)

    assert (before.ok, after) == (False, DELIVERED)


def test_large_batches_are_sent_whole(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """gRPC's limit of 4 MiB a message is not ours."""
    large = batch()
    metrics = large.resource_metrics[0].scope_metrics[0].metrics
    metrics[0] = dataclasses.replace(metrics[0], description="x" * 2**23)

    assert metric_exporter(collector).export(large, 5) == DELIVERED
    assert collector.messages[0].ByteSize() > 2**23

"""Collectors for the OTLP tests: real servers in this process that keep what they are sent."""

import contextlib
import datetime
import gzip
import http.server
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

# Loaded before any test's clock runs; the exporters load them at their first export.
from otel_metrics.pipeline import otlp_encoding, otlp_grpc, otlp_http  # noqa: F401
from otel_metrics.pipeline.otlp import OtlpLogExporter, OtlpMetricExporter

REQUESTS: dict[str, Any] = {
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "/v1/logs": logs_service_pb2.ExportLogsServiceRequest,
}
INFLATE: dict[str | None, Callable[[bytes], bytes]] = {
    None: lambda body: body,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


@dataclass
class Answer:
    """What a collector says to one request: over HTTP `status`, over gRPC `code`."""

    status: int = 200
    code: grpc.StatusCode = grpc.StatusCode.OK
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    trailing: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Collector:
    """A server, what it was sent, and what it will answer; without answers left, all is well.

    `refused` counts requests that were too large, which are not kept.
    """

    protocol: str
    endpoint: str = ""
    answers: list[Answer] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    connections: int = 0
    refused: int = 0

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if self.answers else Answer()


@dataclass(frozen=True)
class TlsFiles:
    """An authority of our own, certificates by it, and one that nobody knows."""

    authority: str
    stranger: str
    server: tuple[str, str]
    elsewhere: tuple[str, str]
    expired: tuple[str, str]
    client: tuple[str, str]


MakeCollector = Callable[..., Collector]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def http_collector() -> Iterator[MakeCollector]:
    """Start OTLP/HTTP collectors: `http_collector(tls=context, bytes_max=10_000)`."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(
        *,
        tls: ssl.SSLContext | None = None,
        bytes_max: int | None = None,
        counts_packed: bool = False,
    ) -> Collector:
        collector = Collector("http/protobuf")

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                collector.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                plain = INFLATE[self.headers.get("content-encoding")](body)
                size = len(body) if counts_packed else len(plain)
                if bytes_max is not None and size > bytes_max:
                    collector.refused += 1
                    return self.reply(Answer(status=413, body=b"too large"))
                kind = REQUESTS.get(self.path.partition("?")[0])
                collector.times.append(time.monotonic())
                collector.paths.append(self.path)
                collector.messages.append(plain if kind is None else kind.FromString(plain))
                collector.headers.append({k.lower(): v for k, v in self.headers.items()})
                return self.reply(collector.next_answer())

            def reply(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a broken handshake
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        scheme = "http" if tls is None else "https"
        collector.endpoint = f"{scheme}://localhost:{server.server_address[1]}/v1/metrics"
        return collector

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def grpc_collector() -> Iterator[MakeCollector]:
    """Start OTLP/gRPC collectors: `grpc_collector(credentials=…, bytes_max=10_000)`."""
    servers: list[Any] = []

    def start(*, credentials: Any = None, port: int = 0, bytes_max: int | None = None) -> Collector:
        collector = Collector("grpc")

        class Calls(grpc.ServerInterceptor):  # type: ignore[misc]  # it has no stubs
            def intercept_service(self, continuation: Any, details: Any) -> Any:
                collector.refused += 1  # until the message turns out to be taken
                return continuation(details)

        class Service:
            def __init__(self, response: Any) -> None:
                self.response = response

            def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
                collector.refused -= 1
                collector.messages.append(request)
                collector.headers.append(dict(context.invocation_metadata()))
                answer = collector.next_answer()
                if answer.code is not grpc.StatusCode.OK:
                    context.set_trailing_metadata(answer.trailing)
                    context.abort(answer.code, answer.message)
                return self.response.FromString(answer.body)

        limit = -1 if bytes_max is None else bytes_max
        server = grpc.server(
            ThreadPoolExecutor(2),
            interceptors=[Calls()],
            options=[("grpc.max_receive_message_length", limit)],
        )
        add_metrics: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
        add_metrics(Service(metrics_service_pb2.ExportMetricsServiceResponse), server)
        add_logs: Any = logs_service_pb2_grpc.add_LogsServiceServicer_to_server
        add_logs(Service(logs_service_pb2.ExportLogsServiceResponse), server)
        if credentials is None:
            port = server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        servers.append(server)
        collector.endpoint = f"{'http' if credentials is None else 'https'}://localhost:{port}"
        return collector

    yield start
    for server in servers:
        server.stop(None).wait(5)


@pytest.fixture(params=["grpc", "http/protobuf"])
def collector(
    request: pytest.FixtureRequest, http_collector: MakeCollector, grpc_collector: MakeCollector
) -> Collector:
    """A collector of each protocol in turn."""
    return grpc_collector() if request.param == "grpc" else http_collector()


@pytest.fixture
def metric_exporter() -> Iterator[Callable[..., OtlpMetricExporter]]:
    """Make metric exporters, for a collector where one is given, and close them at the end."""
    made: list[OtlpMetricExporter] = []

    def make(collector: Collector | None = None, **arguments: Any) -> OtlpMetricExporter:
        if collector is not None:
            arguments = {
                "endpoint": collector.endpoint,
                "protocol": collector.protocol,
                **arguments,
            }
        made.append(OtlpMetricExporter(**arguments))
        return made[-1]

    yield make
    for exporter in made:
        exporter.shutdown(5)


@pytest.fixture
def log_exporter() -> Iterator[Callable[..., OtlpLogExporter]]:
    """Make log exporters for a collector, and close them at the end."""
    made: list[OtlpLogExporter] = []

    def make(collector: Collector, **arguments: Any) -> OtlpLogExporter:
        endpoint = collector.endpoint.replace("/v1/metrics", "/v1/logs")
        made.append(OtlpLogExporter(endpoint=endpoint, protocol=collector.protocol, **arguments))
        return made[-1]

    yield make
    for exporter in made:
        exporter.shutdown(5)


@pytest.fixture
def batch() -> Callable[..., MetricsData]:
    """Make a batch with a point of each value given."""

    def make(*values: Any) -> MetricsData:
        points = [NumberDataPoint({"n": n}, 1, 2, value) for n, value in enumerate(values or (1,))]
        counter = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        metric = Metric("runs", "What ran.", "{run}", counter)
        scope = ScopeMetrics(InstrumentationScope("tests"), [metric], "")
        return MetricsData([ResourceMetrics(Resource({"service.name": "tests"}), [scope], "")])

    return make


@pytest.fixture
def talker() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Start a server that treats each connection as a function says, and return its port."""
    listeners: list[socket.socket] = []
    held: list[socket.socket] = []

    def start(talk: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                threading.Thread(target=quietly, args=(connection,), daemon=True).start()

        def quietly(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):  # the other side has gone
                talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for connection in held:
        connection.close()


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """Make an authority, certificates by it, and an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = _certificate("authority", None)
    stranger_key, stranger = _certificate("stranger", None)
    del stranger_key
    server = _certificate("localhost", (key, certificate))
    elsewhere = _certificate("elsewhere", (key, certificate))
    expired = _certificate("localhost", (key, certificate), ended=True)
    client = _certificate("client", (key, certificate))
    return TlsFiles(
        authority=_write(folder, "authority", certificate),
        stranger=_write(folder, "stranger", stranger),
        server=(_write(folder, "server", server[1]), _write_key(folder, "server", server[0])),
        elsewhere=(
            _write(folder, "elsewhere", elsewhere[1]),
            _write_key(folder, "elsewhere", elsewhere[0]),
        ),
        expired=(_write(folder, "expired", expired[1]), _write_key(folder, "expired", expired[0])),
        client=(_write(folder, "client", client[1]), _write_key(folder, "client", client[0])),
    )


Signed = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def _certificate(name: str, signer: Signed | None, *, ended: bool = False) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing_key, issuer = (key, subject) if signer is None else (signer[0], signer[1].subject)
    now = datetime.datetime.now(datetime.UTC)
    if ended:
        now -= datetime.timedelta(days=7)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        # Python 3.13 checks as RFC 5280 has it, and that asks for both identifiers.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
        .add_extension(_usage(signs_certificates=signer is None), critical=True)
        .sign(signing_key, hashes.SHA256())
    )
    return key, certificate


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(folder: Path, name: str, certificate: x509.Certificate) -> str:
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return str(path)


def _write_key(folder: Path, name: str, key: ec.EllipticCurvePrivateKey) -> str:
    path = folder / f"{name}.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(path)

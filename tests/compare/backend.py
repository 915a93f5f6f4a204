"""A real OTLP/HTTP receiver, which keeps what arrives and adds it up as a metrics store would."""

import gzip
import http.server
import threading
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

__all__ = ["Backend"]


class Backend:
    """Listens on a port of its own while the `with` block runs.

    Attributes:
        endpoint: what `OTEL_EXPORTER_OTLP_ENDPOINT` is to say.
        rejected: points that each answer says were not taken (a partial success).
    """

    def __init__(self) -> None:
        self.rejected = 0
        self._requests: list[ExportMetricsServiceRequest] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def total(self, name: str) -> float:
        """Return a counter's newest value of each stream, added up.

        A stream is an attribute set of one service instance, as OpenTelemetry defines it.
        """
        newest: dict[tuple[str, str], tuple[int, float]] = {}
        for instance, metric in self._metrics():
            if metric.name == name:
                for point in metric.sum.data_points:
                    stream = (instance, str(point.attributes))
                    said = (point.time_unix_nano, point.as_int or point.as_double)
                    newest[stream] = max(said, newest.get(stream, said))
        return sum(value for _, value in newest.values())

    def gauge(self, name: str) -> list[float]:
        """Return every value of a gauge that arrived, in order."""
        return [
            point.as_int or point.as_double
            for _, metric in self._metrics()
            if metric.name == name
            for point in metric.gauge.data_points
        ]

    def _metrics(self) -> list[tuple[str, Metric]]:
        return [
            (_instance(resource_metrics.resource), metric)
            for request in list(self._requests)
            for resource_metrics in request.resource_metrics
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
        ]

    def _handler(backend) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805  # `self` is the handler's
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                backend._requests.append(ExportMetricsServiceRequest.FromString(body))
                refused = ExportMetricsPartialSuccess(
                    rejected_data_points=backend.rejected, error_message="over quota"
                )
                answer = ExportMetricsServiceResponse(
                    partial_success=refused if backend.rejected else None
                ).SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _instance(resource: Resource) -> str:
    named = {pair.key: pair.value.string_value for pair in resource.attributes}
    return named.get("service.instance.id", "")

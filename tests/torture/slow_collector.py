"""`python slow_collector.py`: an OTLP/gRPC endpoint that takes its time.

Prints its port. In a process of its own: a gRPC server does not live through the forks of another.
"""

import time
from concurrent import futures
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

ANSWER_S: Final = 0.02


class _Service(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # the service's own name
        time.sleep(ANSWER_S)
        return metrics_service_pb2.ExportMetricsServiceResponse()


def main() -> None:
    """Serve until killed."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    add: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
    add(_Service(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

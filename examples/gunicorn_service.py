"""A gunicorn service: each worker is a process of its own, so each configures itself.

Needs `pip install otel-metrics gunicorn`. Start it in the folder that holds examples/; in another
shell, ask it something. After its end (Ctrl-C), the last command shows what each worker counted:

    gunicorn --workers 2 --config python:examples.gunicorn_service examples.gunicorn_service:app
    curl localhost:8000/
    otel-metrics archive cat --metric agent.executions
"""

import os
from collections.abc import Callable, Iterable

import otel_metrics
from otel_metrics import executions


def post_worker_init(worker: object) -> None:
    """Start telemetry in a worker (a hook that gunicorn calls).

    One process can hold the metrics port; the archive takes every worker.
    """
    del worker
    otel_metrics.configure(service_name="gunicorn-service", metrics_exporter="ndjson")


def app(
    environ: dict[str, object], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Count one execution of an agent for each request."""
    del environ
    executions.record("greeter", success=True, quality_score=1.0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"hello from process {os.getpid()}\n".encode()]

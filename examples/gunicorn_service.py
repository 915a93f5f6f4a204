"""A gunicorn service: each worker counts for itself, and one page shows what all of them counted.

Needs `pip install otel-metrics gunicorn`. Start it in the folder that holds examples/; in another
shell, ask it something, and look at what was counted. After its end (Ctrl-C), the last command
shows what each process left in the archive:

    gunicorn --workers 2 --preload examples.gunicorn_service:app
    curl localhost:8000/
    curl localhost:9464/metrics
    otel-metrics archive cat --metric agent.executions

Without `--preload` each worker loads this file, and so configures itself; the numbers are the same.
"""

import os
from collections.abc import Callable, Iterable

import otel_metrics
from otel_metrics import executions

otel_metrics.configure(service_name="gunicorn-service")


def app(
    environ: dict[str, object], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Count one execution of an agent for each request."""
    del environ
    executions.record("greeter", success=True, quality_score=1.0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"hello from process {os.getpid()}\n".encode()]

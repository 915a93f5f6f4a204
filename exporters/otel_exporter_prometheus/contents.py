"""What stands under each path: the metrics, and telemetry's health. Collects; may take seconds."""

import json
import time
from typing import Final

from otel_exporter_prometheus.encoding import OPENMETRICS, TEXT
from otel_exporter_prometheus.guard import HEALTHZ
from otel_exporter_prometheus.health import Watch
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.protocol import JSON, Answer, Request, plain

__all__ = ["answer"]

_GZIP: Final = ("Content-Encoding", "gzip")


def answer(request: Request, page: Page, watch: Watch, *, pressed: bool) -> Answer:
    """Return what a request that may be answered has asked for.

    Args:
        pressed: many ask, and share what was collected for one of them.
    """
    if request.path == HEALTHZ:
        return _health(page, watch)
    openmetrics, packed = request.openmetrics, request.gzip
    body = page.read(openmetrics=openmetrics, packed=packed, pressed=pressed)
    if body is None:
        return plain(503, "The metrics cannot be collected.")
    extra = (_GZIP,) if packed else ()
    return Answer(200, body, OPENMETRICS if openmetrics else TEXT, extra)


def _health(page: Page, watch: Watch) -> Answer:
    health = watch.look(page.families(), time.monotonic())
    body = json.dumps(health.as_json()) + "\n"
    return Answer(200 if health.ok else 503, body.encode(), JSON)

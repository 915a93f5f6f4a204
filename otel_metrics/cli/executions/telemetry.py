"""Telemetry of `executions record`: started only where the environment names where it goes.

A command that runs for a moment makes no archive that nobody asked for, opens no page, and does
not become the process that reports the host.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import otel_metrics
from otel_metrics.cli.executions.options import say

__all__ = ["STARTED_BY", "recorded"]

FLUSH_TIMEOUT_S: Final = 5.0
STARTED_BY: Final = (
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_EXPORTER_NDJSON_PATH",
    "OTEL_CONFIG_FILE",
)
"""Variables that name an exporter or an archive."""


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """Let what is recorded inside go where the environment says, and say what did not arrive."""
    keywords = _keywords(os.environ)
    if keywords is None:
        yield
        return
    telemetry = otel_metrics.configure(**keywords)
    try:
        yield
    finally:
        result = telemetry.flush(FLUSH_TIMEOUT_S)
        telemetry.shutdown()
    for name, verdict in result.items():
        if not verdict.ok:
            say(f"{name}: {verdict.status}: {verdict.reason}; the execution is in the files")


def _keywords(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the keywords of `configure`, or None where nothing is to be started."""
    if not any(environ.get(variable, "").strip() for variable in STARTED_BY):
        return None
    # The files are written by the command itself, to the project that it was given.
    keywords: dict[str, Any] = {"executions_dir": "", "host_metrics": "off", "genai_spans": "off"}
    named = environ.get("OTEL_METRICS_EXPORTER") or environ.get("OTEL_CONFIG_FILE")
    if not named:
        has_archive = bool(environ.get("OTEL_EXPORTER_NDJSON_PATH", "").strip())
        keywords["metrics_exporter"] = "ndjson" if has_archive else "none"
    return keywords

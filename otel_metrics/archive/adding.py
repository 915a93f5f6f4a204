"""Adds events to an archive from a command, which starts no telemetry of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from otel_exporter_ndjson import NdjsonLogRecordExporter
from otel_metrics import events
from otel_metrics.pipeline.logs import ArchiveProcessor, make_provider

__all__ = ["adding"]


@contextmanager
def adding(
    path: str | os.PathLike[str], *, service: str, key_file: str | None = None
) -> Iterator[ArchiveProcessor]:
    """Let the events that are emitted inside go to an archive, in segments of this process's own.

    Metrics go nowhere. The segments are sealed at the end.

    Args:
        path: the archive's folder; it is made where it is missing.
        service: whose events they are.
        key_file: seals the segments; None for the one that the variable names.

    Returns:
        what says, by `take_lost()`, whether all were written.
    """
    exporter = NdjsonLogRecordExporter(path, service=service, seal_key_file=key_file)
    processor = ArchiveProcessor(exporter)
    provider = make_provider(Resource({SERVICE_NAME: service}))
    provider.add_log_record_processor(processor)
    events.bind(provider, limited=False)
    try:
        yield processor
    finally:
        events.reset()
        provider.shutdown()

"""A new writer chains to the newest sealed segment of its service, as that is now."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk._logs import ReadableLogRecord

from otel_exporter_ndjson import NdjsonLogRecordExporter
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.previous import newest_sealed

Events = Callable[..., ReadableLogRecord]


def sealed(folder: Path, record: ReadableLogRecord) -> Path:
    """Write a segment of one record, and return its file."""
    exporter = NdjsonLogRecordExporter(folder, sync="never", compression="none")
    exporter.export([record])
    exporter.shutdown()
    (path,) = folder.glob("events/*/*/*.ndjson")
    return path


def test_a_segment_that_was_rewritten_is_looked_at_again(tmp_path: Path, event: Events) -> None:
    """What was known of a file is not taken for what stands in its place since, as after an
    erasure."""
    path = sealed(tmp_path / "archive", event(1))
    other = sealed(tmp_path / "other", event(2)).read_bytes()
    service = os.open(path.parent.parent, os.O_RDONLY)
    before = newest_sealed(RealFs(), service)
    rewritten = path.with_name("rewritten")
    rewritten.write_bytes(other)
    expected = (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    rewritten.replace(path)
    after = newest_sealed(RealFs(), service)
    os.close(service)

    assert before == expected
    assert after == (path.name, hashlib.sha256(other).hexdigest())

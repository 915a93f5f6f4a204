"""A DuckDB connection with an archive's points and events as views.

Nothing of the archive is loaded: a query reads the segments themselves.
"""

import importlib
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal

from otel_exporter_ndjson import Finding, Segment
from otel_metrics.archive import increments, views
from otel_metrics.archive.sources import Source, sources
from otel_metrics.errors import OtelMetricsError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DamageMode", "MissingDuckdbError", "connect"]

_logger = logging.getLogger("otel_metrics.archive")

DamageMode = Literal["skip", "raise", "salvage"]
WARNINGS_MAX: Final = 5
"""Findings that are logged one by one; of more the number is."""

_SETTINGS: Final = (
    "SET TimeZone = 'UTC'",
    "SET enable_progress_bar = false",  # it is written to standard output, pipe or not
    "SET autoinstall_known_extensions = false",  # a query must not reach for the network
    "SET autoload_known_extensions = false",
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MissingDuckdbError(OtelMetricsError, ImportError):
    """DuckDB is not installed; the message says how to install it."""


def connect(
    path: str | os.PathLike[str],
    *,
    signal: str | None = None,
    service: str | None = None,
    since: datetime | int | None = None,
    until: datetime | int | None = None,
    damage: DamageMode = "skip",
    findings: list[Finding] | None = None,
) -> "DuckDBPyConnection":
    """Return a connection with the views `metrics`, `increments`, `events`, `audit` and `damage`.

    The views show the archive as it is now: connect again to see what was written since. Times are
    TIMESTAMP_NS in UTC. Columns and macros are listed in the documentation of the archive.

    Args:
        path: an archive's folder, or one segment's file.
        signal: only `metrics`, `events` or `audit`: the other views are empty, and what is amiss
            with the others is not looked for.
        service: only this one.
        since, until: only what is of this time: a datetime, or nanoseconds since 1970. `until` is
            not part of it. An interval of `increments` is of the time when it ends.
        damage: what becomes of lines that are no JSON, in segments that are as they were written:
            `skip` leaves them out, `raise` ends the query, `salvage` looks at every line of the
            archive first, which takes long, and tells all. The view `damage` counts them.
        findings: a list to which is added what is known to be amiss; without one it is logged.

    Raises:
        FileNotFoundError: there is no such archive.
        MissingDuckdbError: DuckDB is not installed.

    Example:
        >>> from otel_metrics import archive
        >>> db = archive.connect("./telemetry")
        >>> db.sql("SELECT metric, sum(increase) FROM increments GROUP BY metric")
    """
    duckdb = _duckdb()
    found: list[Finding] = []
    folder = tempfile.mkdtemp(prefix="otel-archive-")
    try:
        files = sources(
            path,
            signal=signal,
            service=service,
            folder=folder,
            findings=found,
            salvage=damage == "salvage",
        )
        connection: DuckDBPyConnection = duckdb.connect(":memory:")
        weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for statement in _SETTINGS:
        connection.execute(statement)
    connection.execute(f"SET temp_directory = {views.literal(os.path.join(folder, 'spill'))}")
    window = (_nanoseconds(since), _nanoseconds(until))
    for statement in _views(files, found, window, folder, strict=damage == "raise"):
        connection.execute(statement)
    _tell(found, findings)
    return connection


def _duckdb() -> ModuleType:
    try:
        return importlib.import_module("duckdb")
    except ImportError as error:
        message = "duckdb is not installed; pip install 'otel-metrics[query]'"
        raise MissingDuckdbError(message) from error


def _views(
    files: Sequence[Source],
    found: Sequence[Finding],
    window: views.Window,
    folder: str,
    *,
    strict: bool,
) -> list[str]:
    points, happened, audited = (
        _of_signal(files, signal, folder) for signal in ("metrics", "events", "audit")
    )
    return [
        *views.MACROS,
        views.metrics("metrics", points, window, strict=strict),
        increments.view(points, window, strict=strict),
        views.events("events", happened, window, strict=strict),
        views.events("audit", audited, window, strict=strict),
        views.damage(_as_written(files), _damaged(files, found)),
    ]


def _of_signal(files: Sequence[Source], signal: str, folder: str) -> Mapping[str, Sequence[str]]:
    """Return the paths by service; where there is none, a file without lines."""
    by_service: dict[str, list[str]] = {}
    for source in files:
        if source.segment.signal == signal:
            by_service.setdefault(source.segment.service, []).append(source.path)
    if by_service:
        return by_service
    empty = os.path.join(folder, "empty.ndjson")
    with open(empty, "wb"):
        pass
    return {"": [empty]}


def _as_written(files: Sequence[Source]) -> Mapping[str, Sequence[str]]:
    by_service: dict[str, list[str]] = {}
    for source in files:
        if not source.copied:
            by_service.setdefault(source.segment.service, []).append(source.path)
    return by_service


def _damaged(files: Sequence[Source], found: Sequence[Finding]) -> list[views.Damaged]:
    """Return what was found in the segments that are copied, of which a copy shows nothing."""
    lines: dict[Segment, set[int]] = {}
    for finding in found:
        if finding.kind == "damage" and finding.line:
            lines.setdefault(finding.segment, set()).add(finding.line)
    return [
        views.Damaged(each.service, each.date, each.instance, each.sequence, len(lines[each]))
        for each in (source.segment for source in files if source.copied)
        if each in lines
    ]


def _nanoseconds(time: datetime | int | None) -> int | None:
    if not isinstance(time, datetime):
        return time
    return (time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000


def _tell(found: Sequence[Finding], findings: list[Finding] | None) -> None:
    if findings is not None:
        findings.extend(found)
        return
    serious = [finding for finding in found if finding.kind != "torn_tail"]
    for finding in serious[:WARNINGS_MAX]:
        _logger.warning("%s:%d: %s", finding.segment.path, finding.line, finding.message)
    if len(serious) > WARNINGS_MAX:
        _logger.warning(
            "%d more findings; see: otel-metrics archive verify", len(serious) - WARNINGS_MAX
        )

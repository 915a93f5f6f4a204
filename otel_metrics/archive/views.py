"""The views over an archive as SQL text. Pure: names and paths in, statements out.

Each view names its columns and their types, so that nothing is guessed from the data, and what a
query does not ask for is not taken out of a line. Fields whose text may be more than one type are
read as text and cast where they are asked for.
"""

# ruff: noqa: S608  # made of our own words and quoted literals, and run with the caller's rights

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from otel_exporter_ndjson.files import LINE_BYTES_MAX

__all__ = [
    "MACROS",
    "Damaged",
    "Window",
    "damage",
    "events",
    "literal",
    "metrics",
    "points",
    "within",
]

Window = tuple[int | None, int | None]
"""From when on and before when, in nanoseconds since 1970."""


class Damaged(NamedTuple):
    """A segment, and how many of its lines are damaged."""

    service: str
    date: str
    instance: str
    sequence: int
    lines: int


MACROS: Final = (
    # A JSON pointer reaches any key, whatever characters it has.
    """CREATE MACRO attr(attributes, name) AS
    json_extract_string(attributes, '/' || replace(replace(name, '~', '~0'), '/', '~1'))""",
    "CREATE MACRO attr_map(attributes) AS TRY_CAST(attributes AS MAP(VARCHAR, VARCHAR))",
)
"""`attr(attributes, 'gen_ai.skill.name')` is text; `attr_map(attributes)` a map of texts."""

_BUCKETS: Final = 'STRUCT("offset" BIGINT, counts BIGINT[])'
_METRIC_FIELDS: Final = {
    "kind": "VARCHAR",
    "time": "VARCHAR",
    "start": "VARCHAR",
    "metric": "VARCHAR",
    "type": "VARCHAR",
    "unit": "VARCHAR",
    "temporality": "VARCHAR",
    "monotonic": "BOOLEAN",
    "scope": "VARCHAR",
    "attributes": "JSON",
    "value": "VARCHAR",
    "count": "BIGINT",
    "sum": "DOUBLE",
    "min": "DOUBLE",
    "max": "DOUBLE",
    "bounds": "DOUBLE[]",
    "counts": "BIGINT[]",
    "scale": "INTEGER",
    "zero_count": "BIGINT",
    "positive": _BUCKETS,
    "negative": _BUCKETS,
    "flags": "BIGINT",
    "exemplars": "JSON",
}
_EVENT_FIELDS: Final = {
    "kind": "VARCHAR",
    "time": "VARCHAR",
    "observed": "VARCHAR",
    "event": "VARCHAR",
    "severity": "VARCHAR",
    "severity_number": "INTEGER",
    "body": "JSON",
    "attributes": "JSON",
    "dropped": "BIGINT",
    "trace_id": "VARCHAR",
    "span_id": "VARCHAR",
    "flags": "BIGINT",
    "scope": "VARCHAR",
}
_IS_INTEGER: Final = "regexp_full_match(value, '-?[0-9]+')"
_METRIC_COLUMNS: Final = {
    **_METRIC_FIELDS,
    "time": "TRY_CAST(time AS TIMESTAMP_NS)",
    "start": "TRY_CAST(start AS TIMESTAMP_NS)",
    "value": "TRY_CAST(value AS DOUBLE)",
    "value_int": f"CASE WHEN {_IS_INTEGER} THEN TRY_CAST(value AS BIGINT) END",
}
_EVENT_COLUMNS: Final = {
    **_EVENT_FIELDS,
    "time": "coalesce(TRY_CAST(time AS TIMESTAMP_NS), TRY_CAST(observed AS TIMESTAMP_NS))",
    "observed": "TRY_CAST(observed AS TIMESTAMP_NS)",
}
_METRIC_ORDER: Final = (
    *("time", "start", "metric", "type", "unit", "temporality", "monotonic", "scope"),
    *("attributes", "value", "value_int", "count", "sum", "min", "max", "bounds", "counts"),
    *("scale", "zero_count", "positive", "negative", "flags", "exemplars"),
)
_EVENT_ORDER: Final = (
    *("time", "observed", "event", "severity", "severity_number", "body", "attributes", "dropped"),
    *("trace_id", "span_id", "flags", "scope"),
)
_NAME: Final = r"date=([^/]*)/[^/]*-([0-9a-f]{16})-(\d{6,12})\.ndjson(\.zst)?$"
_FILE_COLUMNS: Final = {
    "date": f"TRY_CAST(regexp_extract(filename, '{_NAME}', 1) AS DATE)",
    "instance": f"regexp_extract(filename, '{_NAME}', 2)",
    "sequence": f"TRY_CAST(regexp_extract(filename, '{_NAME}', 3) AS BIGINT)",
}
_NO_DAMAGE: Final = "(NULL::VARCHAR, NULL::DATE, NULL::VARCHAR, NULL::BIGINT, NULL::BIGINT)"
_TYPES: Final = frozenset(_METRIC_FIELDS.values()) | frozenset(_EVENT_FIELDS.values())


def metrics(name: str, files: Mapping[str, Sequence[str]], window: Window, *, strict: bool) -> str:
    """Return the view of points.

    Args:
        name: what the view is called.
        files: of each service, the files of its segments.
        window: only points of this time.
        strict: a line that is no JSON ends the query, instead of being left out.
    """
    scans = [points(service, paths, strict=strict) for service, paths in files.items()]
    return _view(name, scans, window)


def events(name: str, files: Mapping[str, Sequence[str]], window: Window, *, strict: bool) -> str:
    """Return the view of events, of one signal. Arguments are those of `metrics`."""
    columns = {column: _EVENT_COLUMNS[column] for column in _EVENT_ORDER}
    scans = [
        _scan(service, paths, _EVENT_FIELDS, columns, "event", strict=strict)
        for service, paths in files.items()
    ]
    return _view(name, scans, window)


def damage(files: Mapping[str, Sequence[str]], told: Sequence[Damaged]) -> str:
    """Return the view that counts, of each segment, the lines that are no JSON object.

    Args:
        files: of each service, the files of segments that are read as they are.
        told: what is known of the others, of which only what holds was copied.
    """
    rows = [_NO_DAMAGE] + [
        f"({literal(each.service)}, TRY_CAST({literal(each.date)} AS DATE), "
        f"{literal(each.instance)}, {each.sequence}, {each.lines})"
        for each in told
    ]
    names = "service, date, instance, sequence, lines"
    scans = [f"SELECT * FROM (VALUES {', '.join(rows)}) AS told({names}) WHERE lines > 0"]
    for service, paths in files.items():
        source = _read(paths, {"kind": "VARCHAR"}, strict=False)
        scans.append(
            f"SELECT {literal(service)} AS service, {_listed(_FILE_COLUMNS)}, "
            f"count(*) AS lines FROM {source} WHERE kind IS NULL GROUP BY date, instance, sequence"
        )
    return _view("damage", scans, (None, None))


def points(service: str, paths: Sequence[str], *, strict: bool) -> str:
    """Return the query for the points in some files of a service."""
    columns = {column: _METRIC_COLUMNS[column] for column in _METRIC_ORDER}
    return _scan(service, paths, _METRIC_FIELDS, columns, "metric", strict=strict)


def literal(text: str) -> str:
    """Return text as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def within(window: Window) -> str:
    """Return the WHERE clause that leaves what is of a time."""
    conditions = [
        f"time {sign} make_timestamp_ns({time_ns})"
        for sign, time_ns in zip((">=", "<"), window, strict=True)
        if time_ns is not None
    ]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _scan(
    service: str,
    paths: Sequence[str],
    fields: Mapping[str, str],
    columns: Mapping[str, str],
    kind: str,
    *,
    strict: bool,
) -> str:
    source = _read(paths, fields, strict=strict)
    named = _listed({**columns, "service": literal(service), **_FILE_COLUMNS})
    return f"SELECT {named} FROM {source} WHERE kind = '{kind}'"


def _read(paths: Sequence[str], fields: Mapping[str, str], *, strict: bool) -> str:
    files = ", ".join(map(literal, paths))
    columns = ", ".join(f'"{field}": {literal(kind)}' for field, kind in fields.items())
    return (
        f"read_json([{files}], format='newline_delimited', records=true, auto_detect=false, "
        f"filename=true, hive_partitioning=false, ignore_errors={'false' if strict else 'true'}, "
        f"maximum_object_size={LINE_BYTES_MAX}, columns={{{columns}}})"
    )


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(
        f'"{name}"' if value in _TYPES else f'{value} AS "{name}"'
        for name, value in columns.items()
    )


def _view(name: str, scans: Iterable[str], window: Window) -> str:
    return f"CREATE VIEW {name} AS SELECT * FROM ({' UNION ALL '.join(scans)}){within(window)}"

"""Whether a segment is what its path says: of this archive, signal, service, writer and number.

A segment that was swapped in from another archive, or renamed, holds all its hashes; this shows it.
Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_exporter_ndjson import DamagedError, Segment
from otel_exporter_ndjson.segments import FORMAT, encode_name
from otel_exporter_ndjson.values import decode_attributes

__all__ = ["is_renamed", "misplaced"]

_UNKNOWN_SERVICE: Final = "unknown_service"


def misplaced(segment: Segment, head: Mapping[str, Any]) -> Iterator[str]:
    """Return what a segment's first line says otherwise than its path."""
    for what, said, expected in (("format", head.get("format"), FORMAT), *_named(segment, head)):
        if not _is(said, expected):
            yield f"its first line says {what} {_shown(said)}, its path {_shown(expected)}"
    folder = segment.folder_of_service.rpartition("/")[2]
    service = _service(head)
    if service is None or f"service={encode_name(service)}" != folder:
        yield f"its first line says service {_shown(service)}, its path {_shown(folder)}"
    if not _is_of_day(segment):
        yield f"its name says another day than its folder, date={segment.date}"


def is_renamed(segment: Segment, head: Mapping[str, Any]) -> bool:
    """Whether a segment's first line is that of a file of another name."""
    return not all(_is(said, expected) for _, said, expected in _named(segment, head))


def _named(segment: Segment, head: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    """Return what signal and name say of a segment, beside what its first line does."""
    writer = head.get("writer")
    instance = writer.get("instance") if isinstance(writer, dict) else None
    yield "signal", head.get("signal"), segment.signal
    yield "writer", instance, segment.instance
    yield "sequence", head.get("sequence"), segment.sequence


def _is(said: object, expected: object) -> bool:
    return said == expected and type(said) is type(expected)


def _service(head: Mapping[str, Any]) -> str | None:
    resource = head.get("resource")
    try:
        said = resource.get("attributes") if isinstance(resource, dict) else None
        attributes = decode_attributes(said) or {}
    except (DamagedError, RecursionError):
        return None
    name = attributes.get("service.name")
    return str(name) if name else _UNKNOWN_SERVICE


def _is_of_day(segment: Segment) -> bool:
    """Whether name and folder are of one day; a name may be a few µs later where one was taken."""
    day, time = segment.name[:8], segment.name[9:]
    return day == segment.date.replace("-", "") or time.startswith("000000.00000")


def _shown(value: object) -> str:
    return "none" if value is None else repr(value)[:80]

"""Log records -> lines. Safe for many threads at once: what is remembered is only ever replaced."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from opentelemetry.sdk._logs import ReadableLogRecord

from otel_exporter_ndjson.errors import UnencodableError
from otel_exporter_ndjson.points import LINE_BYTES_MAX
from otel_exporter_ndjson.streams import Batch, Part, Stream, origin_of, scope_json
from otel_exporter_ndjson.values import (
    Tally,
    attributes_json,
    escape,
    is_plain,
    text_json,
    time_json,
    time_text,
    value_json,
)

__all__ = ["EventEncoder"]

STREAMS_MAX: Final = 1_000
"""Scopes that are remembered; with more, all are forgotten and built again."""

TEXTS_MAX: Final = 1_000
TEXT_CHARS_MAX: Final = 100
"""Names of events and severities that are remembered as JSON: how many, and how long."""

_encode = msgspec.json.Encoder().encode
_NS: Final = 10**9


class _Event(Struct, tag_field="kind", tag="event"):
    """The fields of a log record; what is UNSET is left out of the line."""

    time: Any
    observed: Any
    event: Any
    severity: Any
    severity_number: int | UnsetType
    body: Any
    attributes: Any
    dropped: int | UnsetType
    trace_id: Any
    span_id: Any
    flags: Any
    scope: Raw


class _Source:
    """A scope and a resource; holds both, so that their ids stay theirs."""

    __slots__ = ("held", "scope", "stream")

    def __init__(self, record: ReadableLogRecord, tally: Tally) -> None:
        scope = record.instrumentation_scope
        self.held = (record.resource, scope)
        name = None if scope is None else scope.name
        self.scope = Raw(b"null" if name is None else text_json(name, tally))
        described = b"null" if scope is None else scope_json(scope, tally)
        self.stream = Stream((name,), origin_of(record.resource, tally), b'"scope":%s' % described)


class EventEncoder:
    """Encodes log records; counts what it had to change (`tally`) and to leave out (`dropped`)."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.dropped: dict[str, int] = {}
        self._sources: dict[tuple[int, int], _Source] = {}
        self._texts: dict[str, Raw] = {}
        self._second = (0, "1970-01-01T00:00:00")

    def encode(self, records: Sequence[ReadableLogRecord]) -> Batch | None:
        """Return the lines of the records that a line can hold, or None when there are none."""
        if len(records) == 1:
            return self._one(records[0])
        parts: list[Part] = []
        described: dict[tuple[object, ...], Stream] = {}
        lines: list[bytes] = []
        times: list[int] = []
        for record in records:
            made = self._line(record)
            if made is None:
                continue
            line, stream = made
            if not described.setdefault(stream.key, stream).same(stream):
                parts.append(Part(tuple(described.values()), b"".join(lines), len(lines)))
                described, lines = {stream.key: stream}, []
            lines.append(line)
            time = _time_of(record)
            if time is not None:
                times.append(time)
        if not lines:
            return None
        parts.append(Part(tuple(described.values()), b"".join(lines), len(lines)))
        return Batch(
            parts=parts,
            records=sum([part.records for part in parts]),
            size=sum([len(part.body) for part in parts]),
            origin=parts[0].streams[0].origin,
            first_ns=min(times, default=None),
            last_ns=max(times, default=None),
        )

    def _one(self, record: ReadableLogRecord) -> Batch | None:
        """What `encode` does, for the one record that a recording thread hands over."""
        made = self._line(record)
        if made is None:
            return None
        line, stream = made
        time = _time_of(record)
        parts = [Part((stream,), line, 1)]
        return Batch(parts, 1, len(line), stream.origin, time, time)

    def _line(self, record: ReadableLogRecord) -> tuple[bytes, Stream] | None:
        try:
            source = self._source(record)
            line = self._event(record, source)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            reason = error.reason if isinstance(error, UnencodableError) else "unencodable"
        else:
            if len(line) <= LINE_BYTES_MAX:
                return line, source.stream
            reason = "too_large"
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        return None

    def _event(self, record: ReadableLogRecord, source: _Source) -> bytes:
        log = record.log_record
        number = log.severity_number
        time, observed = log.timestamp, log.observed_timestamp
        written = self._time(time)
        attributes = _plain(log.attributes)
        plain = type(attributes) is dict and is_plain(attributes)
        event = _Event(
            written,
            written if observed is time else self._time(observed),
            self._text(log.event_name),
            self._text(log.severity_text),
            UNSET if number is None else number.value,
            UNSET if log.body is None else Raw(value_json(log.body, self.tally)),
            attributes if plain else Raw(attributes_json(attributes, self.tally)),
            record.dropped_attributes or UNSET,
            _hex(log.trace_id, 32),
            _hex(log.span_id, 16),
            UNSET if log.trace_flags is None else int(log.trace_flags),
            source.scope,
        )
        try:
            return escape(_encode(event)) + b"\n"
        except (UnicodeEncodeError, ValueError):  # as `attributes_json`, which mends it
            event.attributes = Raw(attributes_json(attributes, self.tally))
            return escape(_encode(event)) + b"\n"

    def _source(self, record: ReadableLogRecord) -> _Source:
        key = (id(record.resource), id(record.instrumentation_scope))
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= STREAMS_MAX:
                self._sources = {}
            source = self._sources[key] = _Source(record, self.tally)
        return source

    def _time(self, time_ns: int | None) -> Any:
        if time_ns.__class__ is not int or time_ns is None:
            return Raw(time_json(time_ns))
        seconds, rest = divmod(time_ns, _NS)
        known, text = self._second
        if seconds != known:
            whole = time_text(seconds * _NS)
            if whole is None:
                return time_ns
            text = whole[:19]
            self._second = (seconds, text)
        return f"{text}.{rest:09d}Z"

    def _text(self, text: str | None) -> Any:
        """A name or severity, of which there are few."""
        if text is None:
            return UNSET
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= TEXTS_MAX:
                self._texts = {}
            known = Raw(text_json(text, self.tally))
            if len(text) <= TEXT_CHARS_MAX and text.isprintable():
                self._texts[text] = known
        return known


def _time_of(record: ReadableLogRecord) -> int | None:
    log = record.log_record
    return log.observed_timestamp if log.timestamp is None else log.timestamp


def _plain(attributes: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    copy = getattr(attributes, "copy", None)  # of `BoundedAttributes`: ten times faster than `dict`
    return copy() if copy is not None else attributes


def _hex(number: int | None, digits: int) -> Any:
    """An id as W3C writes it; absent when there is no trace, null where the record had None."""
    if number is None:
        return None
    return f"{number:0{digits}x}" if number else UNSET

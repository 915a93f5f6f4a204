"""What points and events have in common: the `describe` lines, and a batch of lines to append.

A point names its metric, an event its scope. The rest of what they belong to stands in the latest
`describe` line before them that has the same key, so that it is written once a segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson.values import Tally, attributes_json, text_json

__all__ = ["Batch", "Origin", "Part", "Stream", "joined", "origin_of", "scope_json"]

_UNKNOWN_SERVICE = "unknown_service"


@dataclass(frozen=True, slots=True)
class Origin:
    """The resource that records come from: its JSON, and the service whose folder they go to."""

    json: bytes
    service: str


class Stream:
    """One metric of one scope and resource (or one scope of events), with its `describe` line."""

    __slots__ = ("_alone", "_members", "_with_resource", "key", "origin")

    def __init__(self, key: tuple[object, ...], origin: Origin, members: bytes) -> None:
        self.key = key
        self.origin = origin
        self._members = members
        self._alone = b'{"kind":"describe",%s}\n' % members
        self._with_resource = b'{"kind":"describe",%s,"resource":%s}\n' % (members, origin.json)

    @property
    def members(self) -> bytes:
        """The members of the `describe` object, without kind and resource."""
        return self._members

    def describe(self, segment_origin: Origin) -> bytes:
        """Return the line; the resource is in it where it is not the segment's own."""
        if segment_origin.json == self.origin.json:
            return self._alone
        return self._with_resource

    def same(self, other: "Stream") -> bool:
        """Whether a reader takes both for one and the same."""
        return self is other or self._with_resource == other._with_resource


class Part(msgspec.Struct, frozen=True, gc=False):
    """Whole lines, and the streams that must have been described before them."""

    streams: tuple[Stream, ...]
    body: bytes
    records: int


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one export hands to the writer, encoded to the last byte.

    Attributes:
        parts: the lines, in order; more than one part only where two streams share a key.
        records, size: points or events in it, and the bytes of their lines.
        origin: the resource for the head of a segment that begins with this batch.
        first_ns, last_ns: the times of the oldest and newest record, or None.
        shape: what the lines alone cannot tell of the exported data; goes into the commit line.
        commit: whether a commit line must follow (a metric export) or may wait (events).
    """

    parts: list[Part]
    records: int
    size: int
    origin: Origin
    first_ns: int | None = None
    last_ns: int | None = None
    shape: bytes | None = None
    commit: bool = False


def joined(batches: Sequence[Batch]) -> Batch:
    """Return events of one origin as one batch, so that one write takes them all."""
    if len(batches) == 1:
        return batches[0]
    firsts = [batch.first_ns for batch in batches if batch.first_ns is not None]
    lasts = [batch.last_ns for batch in batches if batch.last_ns is not None]
    return Batch(
        parts=[part for batch in batches for part in batch.parts],
        records=sum([batch.records for batch in batches]),
        size=sum([batch.size for batch in batches]),
        origin=batches[0].origin,
        first_ns=min(firsts, default=None),
        last_ns=max(lasts, default=None),
    )


def origin_of(resource: Resource, tally: Tally, data_schema_url: str | None = None) -> Origin:
    """Return a resource as JSON, and its service.

    `data_schema_url` is the schema URL beside the resource, where it is another than its own.
    """
    members = [
        b'"attributes":%s' % attributes_json(resource.attributes, tally),
        b'"schema_url":%s' % _text_or_null(resource.schema_url, tally),
    ]
    if data_schema_url is not None and data_schema_url != resource.schema_url:
        members.append(b'"data_schema_url":%s' % text_json(data_schema_url, tally))
    name = (resource.attributes or {}).get("service.name")
    return Origin(b"{%s}" % b",".join(members), str(name) if name else _UNKNOWN_SERVICE)


def scope_json(
    scope: InstrumentationScope, tally: Tally, data_schema_url: str | None = None
) -> bytes:
    """Return an instrumentation scope as JSON; `data_schema_url` as for a resource."""
    members = [
        b'"name":%s' % _text_or_null(scope.name, tally),
        b'"version":%s' % _text_or_null(scope.version, tally),
        b'"schema_url":%s' % _text_or_null(scope.schema_url, tally),
        b'"attributes":%s' % attributes_json(scope.attributes, tally),
    ]
    if data_schema_url is not None and data_schema_url != scope.schema_url:
        members.append(b'"data_schema_url":%s' % text_json(data_schema_url, tally))
    return b"{%s}" % b",".join(members)


def _text_or_null(text: str | None, tally: Tally) -> bytes:
    return b"null" if text is None else text_json(text, tally)

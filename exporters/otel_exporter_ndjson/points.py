"""What points of every kind have in common: the series of a metric, the clock, exemplars.

All that stays the same of a series from one collection to the next is one ready fragment of JSON.
The kinds themselves are in `number_points` and `histogram_points`: each has a fast way for what
the SDK makes, which is the same series in the same places, and an exact way for the rest.
"""

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar

from otel_exporter_ndjson.values import Tally, attributes_json, number_json, time_json

__all__ = ["LINE_BYTES_MAX", "Clock", "Points", "exemplars_json"]

LINE_BYTES_MAX: Final = 2**20
"""A record whose line would be longer is dropped and counted: a reader must not need more."""

_NEVER: Final = object()
_IMMUTABLE: Final = frozenset({str, int, float, bool, bytes, type(None)})


class Clock:
    """The time of the points at hand as JSON; the points of a collection share theirs."""

    __slots__ = ("text", "time_ns", "times")

    def __init__(self) -> None:
        self.time_ns: int | None = None
        self.text = b"null"
        self.times: set[int] = set()

    def at(self, time_ns: int | None) -> bytes:
        """Return a time as JSON, and remember it among the times of this batch."""
        if time_ns is None:
            return b"null"
        if time_ns != self.time_ns:
            self.text = time_json(time_ns)
            self.time_ns = time_ns
        self.times.add(time_ns)
        return self.text

    def range(self) -> tuple[int | None, int | None]:
        """Return the first and last time seen since the last call."""
        times, self.times = self.times, set()
        return min(times, default=None), max(times, default=None)


class Points:
    """The series of one metric, in the order of the last batch: a table, held by column.

    The SDK gives the points of a metric in the same order at each collection, with the same
    attribute mapping for a series; what has moved is looked up by that mapping's identity.

    Attributes:
        attributes: the mapping of each series, or an object that is no point's own where something
            could change unseen inside it.
        copies: the same as they were when the fragment was made. A mapping that was changed in
            place does not equal its copy: compare them before a fragment is used.
        starts, bounds: the start time and, of a histogram, the bounds; both are in the fragment.
        fragments: the JSON of all that, in the form that the kind of point needs.
    """

    __slots__ = (
        "_moved",
        "attributes",
        "bounds",
        "clock",
        "copies",
        "fragments",
        "head",
        "starts",
        "tally",
    )

    def __init__(self, head: bytes, clock: Clock, tally: Tally) -> None:
        self.head = head
        self.clock = clock
        self.tally = tally
        self.attributes: list[object] = []
        self.copies: list[object] = []
        self.starts: list[int | None] = []
        self.bounds: list[Sequence[float] | None] = []
        self.fragments: list[Any] = []
        self._moved: dict[int, tuple[Any, ...]] | None = None

    def lines(self, data: Sequence[Any]) -> bytes:
        """Return the lines of a batch's points."""
        if 0 < len(data) == len(self.fragments):
            lines = self._alike(data)
            if lines is not None:
                return lines
        self._place(len(data))
        return self._each(data)

    def _alike(self, data: Sequence[Any]) -> bytes | None:  # noqa: ARG002 # not every kind has one
        """Return the lines the fast way, or None where a point needs more than that."""
        return None

    def _each(self, data: Sequence[Any]) -> bytes:
        """Return the lines, each point looked at for itself."""
        raise NotImplementedError

    def _finish(self, fragment: bytes) -> Any:
        """Return a new fragment in the form that this kind of point needs."""
        raise NotImplementedError

    def _fragment(self, index: int, point: Any, bounds: Sequence[float] | None = None) -> Any:
        """Return the fragment of a point's series: from its place, from where it was, or new."""
        if (
            point.attributes is self.attributes[index]
            and point.start_time_unix_nano == self.starts[index]
            and bounds is self.bounds[index]
            and point.attributes == self.copies[index]
        ):
            return self.fragments[index]
        return self._found(index, point, bounds)

    def _found(self, index: int, point: Any, bounds: Sequence[float] | None) -> Any:
        if self._moved is None:
            self._moved = self._by_identity()
        row = self._moved.get(id(point.attributes))
        if row is None or not _fits(row, point, bounds):
            row = self._new(point, bounds)
        for column, cell in zip(self._columns(), row, strict=True):
            column[index] = cell
        return row[-1]

    def _place(self, count: int) -> None:
        """Make room for as many series as a batch has points; the last batch's stay in place."""
        self._moved = self._by_identity() if len(self.fragments) > count else None
        empty = [_NEVER] * (count - len(self.fragments))
        for column in self._columns():
            del column[count:]
            column += empty

    def _by_identity(self) -> dict[int, tuple[Any, ...]]:
        return {id(row[0]): row for row in zip(*self._columns(), strict=True)}

    def _columns(self) -> tuple[list[Any], ...]:
        return self.attributes, self.copies, self.starts, self.bounds, self.fragments

    def _new(self, point: Any, bounds: Sequence[float] | None) -> tuple[Any, ...]:
        attributes, start = point.attributes, point.start_time_unix_nano
        text = [
            time_json(start),
            b'"metric":%s' % self.head,
            b'"attributes":%s' % attributes_json(attributes, self.tally),
        ]
        if bounds is not None:
            text.append(b'"bounds":[%s]' % b",".join([number_json(bound) for bound in bounds]))
        copy = None if attributes is None else dict(attributes)
        held = attributes if _lasting(copy, bounds) else _NEVER
        return held, copy, start, bounds, self._finish(b",".join(text))


def _fits(row: tuple[Any, ...], point: Any, bounds: Sequence[float] | None) -> bool:
    """Whether the fragment of a series that has moved is still what a point needs."""
    attributes, copy, start, bounds_then, _ = row
    return bool(
        point.attributes is attributes
        and point.start_time_unix_nano == start
        and bounds is bounds_then
        and point.attributes == copy
    )


def _lasting(copy: dict[str, object] | None, bounds: Sequence[float] | None) -> bool:
    """Whether nothing can change unseen inside what a fragment was made from."""
    values = copy.values() if copy else ()
    return all(type(value) in _IMMUTABLE for value in values) and (
        bounds is None or type(bounds) is tuple
    )


def exemplars_json(exemplars: Sequence[Exemplar], tally: Tally) -> bytes:
    """Return the last member of a point that has exemplars, with the comma before it."""
    return b',"exemplars":[%s]' % b",".join([_exemplar(exemplar, tally) for exemplar in exemplars])


def _exemplar(exemplar: Exemplar, tally: Tally) -> bytes:
    members = [
        b'"time":%s' % time_json(exemplar.time_unix_nano),
        b'"value":%s' % number_json(exemplar.value),
        b'"attributes":%s' % attributes_json(exemplar.filtered_attributes, tally),
    ]
    if exemplar.trace_id is not None:
        members.append(b'"trace_id":"%032x"' % exemplar.trace_id)
    if exemplar.span_id is not None:
        members.append(b'"span_id":"%016x"' % exemplar.span_id)
    return b"{%s}" % b",".join(members)

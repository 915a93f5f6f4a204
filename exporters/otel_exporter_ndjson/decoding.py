"""Lines -> the `MetricsData` and log records that were exported.

Pure. One `Decoder` goes over the lines of one segment, in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.values import (
    decode_attributes,
    decode_number,
    decode_time,
    decode_value,
)

__all__ = ["Decoder"]

Line = dict[str, Any]
Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint

_TEMPORALITY: Final = {member.name.lower(): member for member in AggregationTemporality}


@dataclass(slots=True)
class _Group:
    """Consecutive points of one metric."""

    describe: Line
    points: list[Point] = field(default_factory=list)


class Decoder:
    """Keeps what `segment` and `describe` lines say, for the lines after them.

    Args:
        service: whose segment it is; said of records where the first line cannot be read.
    """

    def __init__(self, service: str | None = None) -> None:
        known = {} if service is None else {"service.name": service}
        self._resource: Line = {"attributes": known, "schema_url": ""}
        self._described: dict[tuple[object, ...], Line] = {}
        self._groups: list[_Group] = []
        self._scopes: dict[int, tuple[Line, InstrumentationScope | None, Resource]] = {}

    def segment(self, line: Line) -> None:
        """Take the first line.

        Raises:
            DamagedError: it says something that no exporter wrote; likewise below.
        """
        resource = _object(line, "resource")
        _guarded(_resource_metrics, resource)
        self._resource = resource

    def describe(self, line: Line) -> None:
        """Take a describe line."""
        line.setdefault("resource", self._resource)
        _guarded(_described, line)
        self._described[_key(line, _name(line.get("scope")))] = line

    def point(self, line: Line) -> None:
        """Take a metric line."""
        describe = self._described.get(_key(line, line.get("scope")))
        if describe is None:
            raise DamagedError(f"no describe line for {str(line.get('metric'))[:80]!r}")
        point = _guarded(_POINTS.get(line.get("type"), _unknown), line)
        if not self._groups or self._groups[-1].describe is not describe:
            self._groups.append(_Group(describe))
        self._groups[-1].points.append(point)

    def batch(self, commit: Line | None = None) -> MetricsData | None:
        """Return what was exported since the last commit line, or None when nothing was."""
        groups, self._groups = self._groups, []
        if not groups:
            return None
        shape = None if commit is None else commit.get("shape")
        if shape is not None:
            shaped: MetricsData = _guarded(_Shaped(groups).data, shape)
            return shaped
        data: list[ResourceMetrics] = []
        resource = scope = None
        for group in groups:
            if group.describe["resource"] != resource:
                resource, scope = group.describe["resource"], None
                data.append(_resource_metrics(resource))
            if group.describe["scope"] != scope:
                scope = group.describe["scope"]
                _list(data[-1].scope_metrics).append(_scope_metrics(scope))
            metrics = _list(data[-1].scope_metrics[-1].metrics)
            metrics.append(_metric(group.describe, group.points))
        return MetricsData(resource_metrics=data)

    def event(self, line: Line) -> ReadableLogRecord:
        """Return the log record of an event line."""
        describe = self._described.get(_key(line, line.get("scope")))
        if describe is None:
            raise DamagedError("no describe line for the scope of an event")
        known = self._scopes.get(id(describe))
        if known is None:
            scope = describe.get("scope")
            made = None if scope is None else _scope(scope)
            known = self._scopes[id(describe)] = (describe, made, _resource(describe["resource"]))
        return ReadableLogRecord(
            log_record=_guarded(_log_record, line),
            resource=known[2],
            instrumentation_scope=known[1],
        )


class _Shaped:
    """Groups points as a commit line says, where the lines alone cannot tell."""

    def __init__(self, groups: Sequence[_Group]) -> None:
        self._points = [(group.describe, point) for group in groups for point in group.points]

    def data(self, shape: Sequence[Line]) -> MetricsData:
        """Return the batch of that shape."""
        data = []
        for resource in shape:
            made = _resource_metrics(resource["resource"])
            for scope in resource["scopes"]:
                scoped = _scope_metrics(scope["scope"])
                _list(scoped.metrics).extend([self._metric(each) for each in scope["metrics"]])
                _list(made.scope_metrics).append(scoped)
            data.append(made)
        if self._points:
            raise DamagedError("a commit line counts fewer points than there are")
        return MetricsData(resource_metrics=data)

    def _metric(self, count: int | Line) -> Metric:
        if isinstance(count, dict):
            return _metric(count, [])
        taken, self._points = self._points[:count], self._points[count:]
        if len(taken) != count or not taken:
            raise DamagedError("a commit line counts more points than there are")
        return _metric(taken[0][0], [point for _, point in taken])


def _key(line: Line, scope: object) -> tuple[object, ...]:
    members = ("metric", "unit", "type", "temporality", "monotonic")
    return _hashable((scope, *[line.get(member) for member in members]))


def _hashable(key: tuple[object, ...]) -> tuple[object, ...]:
    if any(isinstance(member, dict | list) for member in key):
        raise DamagedError("a name or unit is no text")
    return key


def _name(scope: object) -> object:
    return scope.get("name") if isinstance(scope, dict) else None


def _object(line: Line, member: str) -> Line:
    value = line.get(member)
    if not isinstance(value, dict):
        raise DamagedError(f"{member} is no object")
    return value


def _guarded(decode: Any, line: Any) -> Any:
    """Call a decoder; whatever it stumbles over is damage of the line, not a fault of ours."""
    try:
        return decode(line)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, DamagedError):
            raise
        raise DamagedError(f"a line lacks or garbles a member: {error!r}"[:200]) from None


def _described(line: Line) -> None:
    """Make what the line describes, and let it go: what cannot be made is told here, once."""
    _resource_metrics(line["resource"])
    if "metric" in line:
        _metric(line, [])
        _scope_metrics(line["scope"])
    elif line.get("scope") is not None:
        _scope(line["scope"])


def _unknown(line: Line) -> Point:
    raise DamagedError(f"points of type {str(line.get('type'))[:80]!r} are not known")


def _number_point(line: Line) -> Point:
    return NumberDataPoint(
        attributes=_attributes(line["attributes"]),
        start_time_unix_nano=_time(line["start"]),
        time_unix_nano=_time(line["time"]),
        value=decode_number(line["value"]),
        exemplars=_exemplars(line),
    )


def _histogram_point(line: Line) -> Point:
    return HistogramDataPoint(
        attributes=_attributes(line["attributes"]),
        start_time_unix_nano=_time(line["start"]),
        time_unix_nano=_time(line["time"]),
        count=_count(line["count"]),
        sum=decode_number(line["sum"]),
        bucket_counts=_counts(line["counts"]),
        explicit_bounds=tuple([decode_number(bound) for bound in line["bounds"]]),
        min=decode_number(line["min"]),
        max=decode_number(line["max"]),
        exemplars=_exemplars(line),
    )


def _exponential_point(line: Line) -> Point:
    return ExponentialHistogramDataPoint(
        attributes=_attributes(line["attributes"]),
        start_time_unix_nano=_time(line["start"]),
        time_unix_nano=_time(line["time"]),
        count=_count(line["count"]),
        sum=decode_number(line["sum"]),
        scale=_count(line["scale"]),
        zero_count=_count(line["zero_count"]),
        positive=_buckets(line["positive"]),
        negative=_buckets(line["negative"]),
        flags=_count(line["flags"]),
        min=decode_number(line["min"]),
        max=decode_number(line["max"]),
        exemplars=_exemplars(line),
    )


_POINTS: Final[dict[Any, Any]] = {
    "sum": _number_point,
    "gauge": _number_point,
    "histogram": _histogram_point,
    "exponential_histogram": _exponential_point,
}


def _count(value: object) -> int:
    if type(value) is not int:
        raise DamagedError(f"{str(value)[:80]!r} is no whole number")
    return value


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not set(map(type, value)) <= {int}:
        raise DamagedError(f"{str(value)[:80]!r} are no whole numbers")
    return tuple(value)


def _buckets(value: Line) -> Buckets:
    return Buckets(offset=_count(value["offset"]), bucket_counts=_counts(value["counts"]))


def _exemplars(line: Line) -> list[Exemplar]:
    return [_exemplar(value) for value in line.get("exemplars", ())]


def _exemplar(value: Line) -> Exemplar:
    return Exemplar(
        filtered_attributes=_attributes(value["attributes"]),
        value=decode_number(value["value"]),
        time_unix_nano=_time(value["time"]),
        span_id=_id(value, "span_id", None),
        trace_id=_id(value, "trace_id", None),
    )


def _log_record(line: Line) -> LogRecord:
    attributes = _attributes(line["attributes"])
    number = line.get("severity_number")
    flags = line.get("flags")
    body: Any = decode_value(line.get("body"))
    record: Any = LogRecord(severity_text=line.get("severity"), body=body)
    # Set afterwards: the constructor would fill what is missing from the reader's own context.
    record.event_name = line.get("event")
    record.severity_number = None if number is None else SeverityNumber(number)
    record.timestamp = decode_time(line["time"])
    record.observed_timestamp = decode_time(line["observed"])
    record.trace_id = _id(line, "trace_id", 0)
    record.span_id = _id(line, "span_id", 0)
    record.trace_flags = None if flags is None else TraceFlags(flags)
    if attributes is not None:
        record.attributes = BoundedAttributes(attributes=attributes, immutable=False)
        record.attributes.dropped = line.get("dropped", 0)
    made: LogRecord = record
    return made


def _id(line: Line, member: str, absent: int | None) -> int | None:
    value = line.get(member, absent)
    return int(value, 16) if isinstance(value, str) else value


def _time(value: object) -> int:
    return decode_time(value)  # type: ignore[return-value] # the SDK gives None for a gauge's start


def _attributes(value: object) -> Any:
    return decode_attributes(value)


def _metric(describe: Line, points: list[Point]) -> Metric:
    data: Any
    temporality = _TEMPORALITY.get(describe.get("temporality", ""))
    match describe["type"]:
        case "sum":
            data = Sum(points, temporality, describe["monotonic"])  # type: ignore[arg-type] # of its type
        case "gauge":
            data = Gauge(points)  # type: ignore[arg-type] # of its type
        case "histogram":
            data = Histogram(points, temporality)  # type: ignore[arg-type] # of its type
        case "exponential_histogram":
            data = ExponentialHistogram(points, temporality)  # type: ignore[arg-type] # of its type
        case kind:
            raise DamagedError(f"metrics of type {str(kind)[:80]!r} are not known")
    return Metric(describe["metric"], describe["description"], describe["unit"], data)


def _resource(value: Line) -> Resource:
    return Resource(_attributes(value["attributes"]), value["schema_url"])


def _resource_metrics(value: Line) -> ResourceMetrics:
    url: Any = value.get("data_schema_url", value["schema_url"])
    return ResourceMetrics(resource=_resource(value), scope_metrics=[], schema_url=url)


def _scope(value: Line) -> InstrumentationScope:
    return InstrumentationScope(
        value["name"], value["version"], value["schema_url"], _attributes(value["attributes"])
    )


def _scope_metrics(value: Line) -> ScopeMetrics:
    url: Any = value.get("data_schema_url", value["schema_url"])
    return ScopeMetrics(scope=_scope(value), metrics=[], schema_url=url)


def _list(values: Any) -> list[Any]:
    """A sequence that this module made as a list, as one."""
    assert isinstance(values, list)
    return values

"""Batches to OTLP requests, by upstream's encoder; what that cannot encode is left out and counted.

Upstream's encoder loses a whole batch for one point that it cannot encode, and drops single
attributes with a traceback in the log, which makes two series one. So attributes are looked at
before; where anything is amiss, each point is tried by itself.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_metrics.pipeline.batch import with_points
from otel_metrics.values import INT64_MAX, text

__all__ = ["Encoded", "encode_log_batch", "encode_metric_batch"]

DEPTH_MAX: Final = 32
"""Levels of nesting in an attribute; receivers give up at 100 levels of messages."""

UNENCODABLE: Final = "unencodable"
UNENCODABLE_EXEMPLAR: Final = "unencodable_exemplar"


@dataclass(slots=True)
class Encoded:
    """A request and what became of the batch.

    Attributes:
        request: the serialised message; empty where nothing is left to send.
        items: points or records in it.
        rejected: how many were left out, by reason.
        names: of what was left out.
    """

    request: bytes = b""
    items: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def reject(self, reason: str, name: str) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.names.add(name)


def encode_metric_batch(data: MetricsData) -> Encoded:
    """Encode a batch of metrics; never raises for what is in it."""
    encoded = Encoded()
    parts = []
    for part in _parts(data):
        request = _metric_request(part) if _is_sound(part) else None
        if request is None:
            part = _repaired(part, encoded)
            request = _metric_request(part)
        if request is not None:
            parts.append(request)
            encoded.items += _count(part)
    encoded.request = b"".join(parts)  # repeated fields of messages that follow each other add up
    return encoded


def encode_log_batch(records: Sequence[ReadableLogRecord]) -> Encoded:
    """Encode a batch of log records; never raises for what is in it."""
    encoded = Encoded()
    kept: Sequence[ReadableLogRecord] = records
    request = _log_request(records) if all(map(_is_sound_record, records)) else None
    if request is None:
        kept = [*_repaired_records(records, encoded)]
        request = _log_request(kept)
    if request is not None:
        encoded.request = request
        encoded.items = len(kept)
    return encoded


def _parts(data: MetricsData) -> Iterator[ResourceMetrics]:
    """Yield the batch by resource, with each scope once: upstream's encoder keeps the last."""
    for resource_metrics in data.resource_metrics:
        scopes = resource_metrics.scope_metrics
        if len({scope.scope for scope in scopes}) == len(scopes):
            yield resource_metrics
        else:
            for scope in scopes:
                yield dataclasses.replace(resource_metrics, scope_metrics=[scope])


def _metric_request(part: ResourceMetrics) -> bytes | None:
    """Return the request, or None where upstream's encoder cannot make it."""
    if not part.scope_metrics:
        return None
    try:
        return encode_metrics(MetricsData(resource_metrics=[part])).SerializeToString()
    except Exception:  # noqa: BLE001  # whatever a value that is not of its type brings about
        return None


def _log_request(records: Sequence[ReadableLogRecord]) -> bytes | None:
    if not records:
        return None
    try:
        return encode_logs(records).SerializeToString()
    except Exception:  # noqa: BLE001  # as for metrics
        return None


def _is_sound(part: ResourceMetrics) -> bool:
    return _is_plain(part.resource.attributes) and all(
        _is_plain(scope.scope.attributes) and all(map(_is_sound_metric, scope.metrics))
        for scope in part.scope_metrics
    )


def _is_sound_metric(metric: Metric) -> bool:
    return all(
        _is_plain(point.attributes)
        and all(_is_plain(exemplar.filtered_attributes) for exemplar in point.exemplars)
        for point in metric.data.data_points
    )


def _is_sound_record(record: ReadableLogRecord) -> bool:
    scope = record.instrumentation_scope
    return (
        _is_plain(record.log_record.attributes)
        and _is_plain(record.resource.attributes)
        and (scope is None or _is_plain(scope.attributes))
    )


def _is_plain(attributes: Mapping[str, Any] | None) -> bool:
    """Tell whether upstream encodes every attribute."""
    return not attributes or all(
        isinstance(key, str) and _is_text(key) and _is_value(value, DEPTH_MAX)
        for key, value in attributes.items()
    )


def _is_value(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    if value is None or isinstance(value, bool | float | bytes):
        return True
    if isinstance(value, int):
        return -INT64_MAX - 1 <= value <= INT64_MAX
    if depth == 0:
        return False
    if isinstance(value, Sequence):
        return all(_is_value(item, depth - 1) for item in value)
    if isinstance(value, Mapping):
        return all(
            _is_value(str(key), 0) and _is_value(item, depth - 1) for key, item in value.items()
        )
    return False


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _repaired(part: ResourceMetrics, encoded: Encoded) -> ResourceMetrics:
    """Return what can be encoded of a part of a batch, and count the rest."""
    scopes = []
    for scope in part.scope_metrics:
        metrics = [*_repaired_metrics(scope.metrics, encoded)]
        if metrics:
            repaired = _repaired_scope(scope.scope)
            scopes.append(dataclasses.replace(scope, scope=repaired, metrics=metrics))
    return dataclasses.replace(
        part, resource=_repaired_resource(part.resource), scope_metrics=scopes
    )


def _repaired_metrics(metrics: Iterable[Metric], encoded: Encoded) -> Iterator[Metric]:
    for metric in metrics:
        if _encodes(metric):
            yield metric
            continue
        points: list[Any] = []
        for point in metric.data.data_points:
            bare = dataclasses.replace(point, exemplars=[])
            if _encodes(with_points(metric, [point])):
                points.append(point)
            elif _encodes(with_points(metric, [bare])):
                points.append(bare)
                encoded.reject(UNENCODABLE_EXEMPLAR, metric.name)
            else:
                encoded.reject(UNENCODABLE, metric.name)
        if points:
            yield with_points(metric, points)


def _encodes(metric: Metric) -> bool:
    scope = ScopeMetrics(scope=InstrumentationScope(""), metrics=[metric], schema_url="")
    alone = ResourceMetrics(resource=Resource({}), scope_metrics=[scope], schema_url="")
    return _is_sound_metric(metric) and _metric_request(alone) is not None


def _repaired_records(
    records: Iterable[ReadableLogRecord], encoded: Encoded
) -> Iterator[ReadableLogRecord]:
    for record in records:
        scope = record.instrumentation_scope
        repaired = dataclasses.replace(
            record,
            resource=_repaired_resource(record.resource),
            instrumentation_scope=None if scope is None else _repaired_scope(scope),
        )
        if _is_sound_record(repaired) and _log_request([repaired]) is not None:
            yield repaired
        else:
            encoded.reject(UNENCODABLE, record.log_record.event_name or "log record")


def _repaired_resource(resource: Resource) -> Resource:
    return Resource(_repaired_attributes(resource.attributes), text(resource.schema_url or ""))


def _repaired_scope(scope: InstrumentationScope) -> InstrumentationScope:
    return InstrumentationScope(
        text(scope.name or ""),
        text(scope.version or ""),
        text(scope.schema_url or ""),
        _repaired_attributes(scope.attributes or {}),
    )


def _repaired_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if _is_plain({key: value})}


def _count(part: ResourceMetrics) -> int:
    return sum(
        len(metric.data.data_points) for scope in part.scope_metrics for metric in scope.metrics
    )

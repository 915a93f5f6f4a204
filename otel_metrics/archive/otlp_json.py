"""Batches as OTLP JSON Lines: a request a line, as the collector's file exporter writes it.

Says exactly what a replay sends: it is that request, in its other form. Not protobuf's own JSON,
which writes ids in base64 and enums as words (OTLP 1.9, JSON Protobuf encoding).
"""

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson.values import escape
from otel_metrics.archive.batches import Batch
from otel_metrics.pipeline.otlp_encoding import encode_log_batch, encode_metric_batch

__all__ = ["Line", "line_of"]

_HEX: Final = frozenset({"trace_id", "span_id"})
_LONG: Final = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_REAL: Final = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})

_encode = msgspec.json.Encoder().encode
_plans: dict[str, tuple[str, Callable[[Any], object]]] = {}
"""Of each field by its full name: its name in JSON, and what makes its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A batch as text.

    Attributes:
        data: with its line end; empty where nothing of the batch can be said in OTLP.
        left_out: records of the batch that cannot.
    """

    data: bytes
    left_out: int


def line_of(batch: Batch) -> Line:
    """Return a batch as one line of OTLP JSON."""
    request: Message
    if isinstance(batch.data, MetricsData):
        encoded = encode_metric_batch(batch.data)
        request = ExportMetricsServiceRequest.FromString(encoded.request)
    else:
        encoded = encode_log_batch(batch.data)
        request = ExportLogsServiceRequest.FromString(encoded.request)
    data = escape(_encode(_plain(request))) + b"\n" if encoded.request else b""
    return Line(data=data, left_out=batch.records - encoded.items)


def _plain(message: Message) -> dict[str, object]:
    plain = {}
    for field, value in message.ListFields():
        plan = _plans.get(field.full_name)
        if plan is None:
            plan = _plans[field.full_name] = (field.json_name, _converter(field))
        name, convert = plan
        plain[name] = convert(value)
    return plain


def _converter(field: FieldDescriptor) -> Callable[[Any], object]:
    convert = _single(field)
    if field.is_repeated:
        return lambda values: [convert(value) for value in values]
    return convert


def _single(field: FieldDescriptor) -> Callable[[Any], object]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _plain
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _HEX else _base64
    if field.cpp_type in _LONG:
        return str
    if field.cpp_type in _REAL:
        return _real
    return _same


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _real(value: float) -> object:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _same(value: object) -> object:
    return value

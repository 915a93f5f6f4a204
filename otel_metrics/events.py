"""The only place that emits an OTel event: a log record with an event name.

An event keeps the particulars of what happened (ids, reasoning, decisions) that must never become
metric attributes. It goes to the LoggerProvider that `bind` was given, never to the global one:
texts of ours reach no backend that nobody named. Until then `emit` does nothing.

Threads: `emit` runs on the caller's thread, through all log processors; an event is in the archive
when it returns.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal

from opentelemetry._logs import Logger, LoggerProvider, LogRecord, SeverityNumber
from opentelemetry.sdk._logs import Logger as SdkLogger
from opentelemetry.sdk._logs import LogRecordLimits, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import AnyValue

from otel_metrics import values
from otel_metrics.rejections import reject
from otel_metrics.version import __version__

__all__ = [
    "Content",
    "bind",
    "emit",
    "filed",
    "is_filed",
    "prepared",
    "reset",
    "ruled",
    "set_content",
]

Content = Literal["full", "redacted", "none"]

CONTENT_ATTRIBUTES: Final = frozenset(
    {
        "automated_checks",
        "decision",
        "expected_decision",
        "gen_ai.evaluation.explanation",
        "metadata",
        "patterns_detail",
        "reason",
        "reasoning",
        "trigger_reason",
    }
)
"""Attributes that hold what people or models wrote (`OTEL_PYTHON_METRICS_EVENT_CONTENT`)."""

_LIMITS: Final = LogRecordLimits()
"""Stands in a record for limits that were not applied."""
_SCALARS: Final = frozenset({str, int, float, bool})

_filed: ContextVar[str | None] = ContextVar("otel_metrics_filed", default=None)
_sink: Logger | None = None
_limited = True
_content: Content = "full"


class _CleanRecord(ReadWriteLogRecord):
    """A record whose attributes `values` has looked at. The SDK would look at each again, which
    costs as much as all the rest; lists and mappings go its way all the same, as it freezes them.
    """

    def __init__(self, record: LogRecord, resource: Resource, scope: InstrumentationScope) -> None:
        self.log_record = record
        self.resource = resource
        self.instrumentation_scope = scope
        self.limits = _LIMITS


def emit(
    name: str,
    attributes: Mapping[str, object],
    *,
    body: object = None,
    timestamp_ns: int | None = None,
    is_prepared: bool = False,
) -> None:
    """Emit the event `name` with a bounded copy of `attributes`, without secrets.

    The caller's trace context is kept. None values are left out. Never raises.

    Args:
        name: the event's name in the catalog.
        attributes: any data; see `values.clean` for what is kept of it.
        body: likewise.
        timestamp_ns: when it happened, Unix nanoseconds; default now.
        is_prepared: whether `attributes` are what `prepared` returned.
    """
    sink = _sink
    if sink is None:
        return
    try:
        kept: Mapping[str, AnyValue] = attributes if is_prepared else prepared(attributes)  # type: ignore[assignment]  # as its caller says
        now = time.time_ns()
        record = LogRecord(
            event_name=name,
            timestamp=timestamp_ns if timestamp_ns is not None else now,
            observed_timestamp=now,
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body=None if body is None else _ruled_body(values.clean(body)),
        )
        record.attributes = kept
        if _limited or not isinstance(sink, SdkLogger) or not _is_flat(kept):
            sink.emit(record)
        else:
            made = _CleanRecord(record, sink.resource, sink.instrumentation_scope)
            sink.emit(made)  # type: ignore[arg-type]  # which the SDK takes, and says so in no type
    except Exception as error:  # noqa: BLE001  # a processor of the service's must not stop it
        reject(name, "event_failed", f"{type(error).__qualname__}: {error}"[:200])


def prepared(attributes: Mapping[str, object]) -> Mapping[str, AnyValue]:
    """Return the copy of `attributes` that `emit` makes, for who keeps the event elsewhere too."""
    return ruled(values.clean_attributes(attributes))


@contextmanager
def filed(path: str) -> Iterator[None]:
    """Say of events emitted inside that the caller has written them to `path` itself."""
    token = _filed.set(path)
    try:
        yield
    finally:
        _filed.reset(token)


def is_filed(path: str) -> bool:
    """Tell whether the event that is being emitted has been written to `path` by who emits it."""
    return _filed.get() == path


def ruled(cleaned: Mapping[str, AnyValue]) -> Mapping[str, AnyValue]:
    """Apply the content rule to those of an event's attributes that hold content.

    For files that keep the same fields as the event does.
    """
    if _content == "full" or CONTENT_ATTRIBUTES.isdisjoint(cleaned):
        return cleaned
    if _content == "none":
        return {key: v for key, v in cleaned.items() if key not in CONTENT_ATTRIBUTES}
    return {
        key: values.MASK if key in CONTENT_ATTRIBUTES else value for key, value in cleaned.items()
    }


def _is_flat(attributes: Mapping[str, AnyValue]) -> bool:
    return _SCALARS.issuperset(map(type, attributes.values()))


def _ruled_body(cleaned: AnyValue) -> AnyValue:
    """Apply the content rule to a body, which is content."""
    if cleaned is None or _content == "full":
        return cleaned
    return values.MASK if _content == "redacted" else None


def bind(provider: LoggerProvider, *, limited: bool = True) -> None:
    """Send events to `provider` from now on.

    Args:
        limited: whether it may have limits of its own for attributes; False for one of ours.
    """
    global _sink, _limited
    _limited = limited
    _sink = provider.get_logger("otel_metrics", __version__)


def reset() -> None:
    """Go back to the state after import: no provider, full content."""
    global _sink
    _sink = None
    set_content("full")


def set_content(content: Content) -> None:
    """Keep bodies and content attributes (`full`), mask them (`redacted`) or leave them out."""
    global _content
    _content = content

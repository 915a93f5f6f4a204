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

from opentelemetry._logs import Logger, LoggerProvider, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.util.types import AnyValue

from otel_metrics import values
from otel_metrics.rejections import reject
from otel_metrics.version import __version__

__all__ = ["Content", "bind", "emit", "filed", "is_filed", "prepared", "reset", "set_content"]

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

_filed: ContextVar[str | None] = ContextVar("otel_metrics_filed", default=None)
_sink: Logger | None = None
_content: Content = "full"


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
        sink.emit(
            event_name=name,
            timestamp=timestamp_ns if timestamp_ns is not None else now,
            observed_timestamp=now,
            context=get_current(),
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body=_ruled_body(values.clean(body)),
            attributes=kept,
        )
    except Exception as error:  # noqa: BLE001  # a processor of the service's must not stop it
        reject(name, "event_failed", f"{type(error).__qualname__}: {error}"[:200])


def prepared(attributes: Mapping[str, object]) -> Mapping[str, AnyValue]:
    """Return the copy of `attributes` that `emit` makes, for who keeps the event elsewhere too."""
    return _ruled(values.clean({key: v for key, v in attributes.items() if v is not None}))


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


def _ruled(cleaned: AnyValue) -> Mapping[str, AnyValue]:
    """Apply the content rule to the attributes that hold content."""
    assert isinstance(cleaned, Mapping)
    if _content == "full" or CONTENT_ATTRIBUTES.isdisjoint(cleaned):
        return cleaned
    if _content == "none":
        return {key: v for key, v in cleaned.items() if key not in CONTENT_ATTRIBUTES}
    return {
        key: values.MASK if key in CONTENT_ATTRIBUTES else value for key, value in cleaned.items()
    }


def _ruled_body(cleaned: AnyValue) -> AnyValue:
    """Apply the content rule to a body, which is content."""
    if cleaned is None or _content == "full":
        return cleaned
    return values.MASK if _content == "redacted" else None


def bind(provider: LoggerProvider) -> None:
    """Send events to `provider` from now on."""
    global _sink
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

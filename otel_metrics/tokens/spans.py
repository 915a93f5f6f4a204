"""Turns finished GenAI spans, of anyone's instrumentation, into the catalog's instruments.

A call is counted once, by who issued it: by the innermost span of it. A span that encloses a
counted call is not counted, nor is one whose call was recorded by hand, nor the usage that an
agent's span adds up. A tool or an agent parts calls: what ran inside is another call.
"""

import logging
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_metrics import instruments
from otel_metrics.tokens import once
from otel_metrics.tokens.calls import Call, count_call
from otel_metrics.tokens.conventions import Inference, Run, read
from otel_metrics.tokens.twins import Twins

__all__ = ["OPEN_MAX", "GenAISpanProcessor"]

OPEN_MAX: Final = 10_000
"""Open spans that are followed; the oldest goes first, and is then taken to enclose nothing."""
RUNS_MAX: Final = 64
"""Tools and agents remembered below one open span."""

_logger = logging.getLogger("otel_metrics.tokens")

_first_chunk = instruments.metric("gen_ai.client.operation.time_to_first_chunk")
_durations = {
    "tool": ("gen_ai.tool.name", instruments.metric("gen_ai.execute_tool.duration")),
    "agent": ("gen_ai.agent.name", instruments.metric("gen_ai.invoke_agent.duration")),
}


@dataclass(slots=True)
class _Below:
    """What has ended below an open span, up to the next tool or agent."""

    answered: bool = False
    failed: bool = False
    usage: bool = False
    first_chunk: bool = False
    runs: set[tuple[str, str]] = field(default_factory=set)

    def take_up(self, other: "_Below") -> None:
        self.answered |= other.answered
        self.failed |= other.failed
        self.usage |= other.usage
        self.first_chunk |= other.first_chunk
        if len(self.runs) < RUNS_MAX:
            self.runs |= other.runs


@dataclass(slots=True)
class _Open:
    """An open span: the open span that it started in, and what has ended below it."""

    enclosing: "_Open | None"
    below: _Below = field(default_factory=_Below)


@dataclass(frozen=True, slots=True)
class _Due:
    """What an ended span adds to the instruments."""

    call: Call | None = None
    first_chunk: Inference | None = None
    run: Run | None = None


class GenAISpanProcessor(SpanProcessor):
    """Counts model calls, tools and agents out of spans, whoever made them.

    Add it to a `TracerProvider` with `sampling.attach`, or a sampler's choice changes the counts.
    Memory is bounded, nothing is raised, and a forked child leaves its parent's spans alone.

    Args:
        record: takes each call that is to be counted.

    Example:
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from otel_metrics.tokens.spans import GenAISpanProcessor
        >>> TracerProvider().add_span_processor(GenAISpanProcessor())
    """

    def __init__(self, record: Callable[[Call], None] = count_call) -> None:
        self._record = record
        self._lock = threading.RLock()  # a signal handler may end a span inside another's end
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._inherited: frozenset[int] = frozenset()
        self._twins = Twins()
        self._closed = False
        self._complained = False
        if hasattr(os, "register_at_fork"):
            _reset_in_children(weakref.WeakMethod(self._reset_after_fork))

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del parent_context
        if self._closed:
            return
        with self._lock:
            self._open[span.get_span_context().span_id] = _Open(self._enclosing(span))
            if len(self._open) > OPEN_MAX:
                _, oldest = self._open.popitem(last=False)
                oldest.enclosing = None  # or a chain of spans that nobody ends would be kept

    def on_end(self, span: ReadableSpan) -> None:
        if self._closed or span.context is None or span.context.span_id in self._inherited:
            return
        try:
            due = self._settle(span, span.context.span_id)
            if due is not None:
                self._measure(span, due)
        except Exception:  # the service's own code ended this span
            if not self._complained:
                self._complained = True
                _logger.warning(
                    "a GenAI span is not counted; others that fail go unsaid", exc_info=True
                )

    def shutdown(self) -> None:
        """Count nothing more."""
        self._closed = True

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: a span is counted before its `end` returns."""
        del timeout_millis
        return True

    def _enclosing(self, span: ReadableSpan) -> _Open | None:
        parent = span.parent
        return None if parent is None else self._open.get(parent.span_id)

    def _settle(self, span: ReadableSpan, span_id: int) -> _Due | None:
        """Decide what the span adds, and tell the span that encloses it what has ended."""
        reading = read(span)
        is_recorded = once.take(span_id)
        with self._lock:
            # A wrapper around processors may have kept the start from us (Logfire's does).
            ended = self._open.pop(span_id, None) or _Open(self._enclosing(span))
            ended.below.usage |= is_recorded
            due = self._judge(span, reading, ended.below)
            if ended.enclosing is not None:
                above = ended.below
                if isinstance(reading, Run):
                    above = _Below(runs={(reading.kind, reading.name)})
                ended.enclosing.below.take_up(above)
        return due

    def _judge(
        self, span: ReadableSpan, reading: Inference | Run | None, below: _Below
    ) -> _Due | None:
        if isinstance(reading, Run):
            # Two instrumentations of one framework: the same tool directly in itself.
            is_counted = (reading.kind, reading.name) in below.runs
            return None if is_counted else _Due(run=reading)
        if reading is None:
            return None
        is_first_to_say = reading.first_chunk_s is not None and not below.first_chunk
        due = _Due(
            call=self._call_due(span, reading, below),
            first_chunk=reading if is_first_to_say else None,
        )
        failed = reading.call.error_type is not None
        below.take_up(_Below(not failed, failed, reading.has_usage, is_first_to_say))
        return due

    def _call_due(self, span: ReadableSpan, inference: Inference, below: _Below) -> Call | None:
        """Return what is to be counted of a call: all of it, its tokens only, or nothing."""
        tokens_only = replace(inference.call, duration_s=None) if inference.has_usage else None
        if below.usage:
            return None
        if below.answered:
            return tokens_only  # the inner span did not hear of them
        if below.failed and inference.call.error_type is not None:
            return None
        twin = self._twins.find(span, inference)
        if twin is None:
            self._twins.remember(span, inference)
            return inference.call
        if twin.has_usage:
            return None
        twin.has_usage = inference.has_usage
        return tokens_only

    def _measure(self, span: ReadableSpan, due: _Due) -> None:
        """Write the instruments in the span's own context, so that exemplars lead to it."""
        seen = trace.NonRecordingSpan(span.context or trace.INVALID_SPAN_CONTEXT)
        token = context_api.attach(trace.set_span_in_context(seen))
        try:
            if due.call is not None:
                self._record(due.call)
            if due.first_chunk is not None:
                _measure_first_chunk(due.first_chunk)
            if due.run is not None:
                _measure_run(due.run)
        finally:
            context_api.detach(token)

    def _reset_after_fork(self) -> None:
        """Leave the parent's open spans to the parent: here they end a second time, or never."""
        self._lock = threading.RLock()
        self._inherited |= self._open.keys()
        self._open = OrderedDict()
        self._twins = Twins()


def _reset_in_children(reset: "weakref.WeakMethod[Callable[[], None]]") -> None:
    def reset_if_alive() -> None:
        method = reset()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=reset_if_alive)


def _measure_first_chunk(inference: Inference) -> None:
    call = inference.call
    about = {
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": call.provider or "unknown",
        "gen_ai.request.model": call.model,
        "gen_ai.response.model": call.response_model,
    }
    known = {key: value for key, value in about.items() if value is not None}
    _first_chunk.record(inference.first_chunk_s or 0.0, known)


def _measure_run(run: Run) -> None:
    key, duration = _durations[run.kind]
    about = {key: run.name}
    if run.error_type is not None:
        about["error.type"] = run.error_type
    duration.record(run.duration_s, about)

"""Finds the other span of a call that two instrumentations saw, where neither encloses the other.

A framework's callback (OpenInference's LangChain) does not make its span current, so the client's
span below it has another parent, or another trace. Such spans are of different scopes, overlap in
time, and say the same: the same response id, or the same tokens of the same model.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from otel_metrics.tokens.conventions import Inference

__all__ = ["Counted", "Twins"]

REMEMBERED_MAX: Final = 256
"""Counted calls that are remembered; the oldest goes first."""
SCOPES_MAX: Final = 16
"""Scopes that are told apart when asking whether there is more than one."""
SLACK_NS: Final = 1_000_000
"""Spans this far apart still overlap: callbacks keep microseconds, and round."""
GONE_NS: Final = 1_000_000_000
"""A call that ended this long before another began has no twin in it, nor have those before."""


@dataclass(slots=True)
class Counted:
    """A call that was counted, and the scopes that brought a second span of it."""

    scope: str
    start_ns: int
    end_ns: int
    inference: Inference
    has_usage: bool
    met: set[str] = field(default_factory=set)


class Twins:
    """The calls counted last. Not thread-safe: the span processor holds its lock."""

    def __init__(self) -> None:
        self._counted: deque[Counted] = deque(maxlen=REMEMBERED_MAX)
        self._scopes: set[str] = set()

    def remember(self, span: ReadableSpan, inference: Inference) -> None:
        """Remember a call that is counted now."""
        counted = _counted(span, inference)
        self._counted.append(counted)
        if len(self._scopes) < SCOPES_MAX:
            self._scopes.add(counted.scope)

    def find(self, span: ReadableSpan, inference: Inference) -> Counted | None:
        """Return the counted call that this span is a second view of; each scope has one view."""
        view = _counted(span, inference)
        if self._scopes <= {view.scope}:
            return None  # one instrumentation, as in most services
        for other in reversed(self._counted):
            if other.end_ns + GONE_NS < view.start_ns:
                return None
            if _is_other_view(view, other) and _says_same(view.inference, other.inference):
                other.met.add(view.scope)
                return other
        return None


def _counted(span: ReadableSpan, inference: Inference) -> Counted:
    end_ns = span.end_time or 0
    # The start of a span without duration (a log) is in what it says.
    start_ns = min(span.start_time or 0, end_ns - int((inference.call.duration_s or 0) * 1e9))
    scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
    return Counted(scope, start_ns, end_ns, inference, inference.has_usage)


def _is_other_view(view: Counted, other: Counted) -> bool:
    return (
        view.scope != other.scope
        and view.scope not in other.met
        and view.start_ns <= other.end_ns + SLACK_NS
        and other.start_ns <= view.end_ns + SLACK_NS
    )


def _says_same(one: Inference, other: Inference) -> bool:
    if one.response_id is not None and one.response_id == other.response_id:
        return True
    return (
        (one.call.input, one.call.output) == (other.call.input, other.call.output)
        and (one.call.error_type is None) == (other.call.error_type is None)
        and _may_be_same_model(one, other)
    )


def _may_be_same_model(one: Inference, other: Inference) -> bool:
    """Compare names of models: one view may have the date of the release, the other not."""
    mine, others = _models(one), _models(other)
    if not mine or not others:
        return True
    return any(a.startswith(b) or b.startswith(a) for a in mine for b in others)


def _models(inference: Inference) -> set[str]:
    call = inference.call
    return {name for name in (call.model, call.response_model) if name}

"""Which spans have a call that was recorded by hand, so that their processor counts it not again.

Shared by the recorder, which notes, and the span processor, which takes. It knows span ids only,
so that recording a call needs nothing of the trace SDK. Holds no lock: a forked child can never
inherit one that is held.
"""

from collections import OrderedDict
from contextlib import suppress

__all__ = ["NOTED_MAX", "note", "take"]

NOTED_MAX = 4096
"""Span ids kept at most; the oldest goes first. Only spans that are still open need to be here."""

_noted: OrderedDict[int, None] = OrderedDict()


def note(span_id: int) -> None:
    """Remember that a call was recorded by hand inside the span `span_id`.

    Args:
        span_id: `trace.get_current_span().get_span_context().span_id`; 0 (no span) is ignored.
    """
    if not span_id:
        return
    _noted[span_id] = None
    while len(_noted) > NOTED_MAX:
        with suppress(KeyError):  # another thread made room first
            _noted.popitem(last=False)


def take(span_id: int) -> bool:
    """Tell whether a call was recorded by hand inside the span, and forget it."""
    try:
        del _noted[span_id]
    except KeyError:
        return False
    return True

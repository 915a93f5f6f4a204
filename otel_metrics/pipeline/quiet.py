"""Runs our own work with instrumentation suppressed, so that an instrumented HTTP client does not
count our exports."""

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,
    Context,
    attach,
    detach,
    get_current,
    set_value,
)

__all__ = ["suppressed"]

_derived: tuple[Context, Context] | None = None
"""The context that was current the last time, and the one made of it; contexts never change."""


class suppressed:  # noqa: N801  # used as a function is
    """Suppress instrumentation for what runs inside, on this thread."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        global _derived
        current, known = get_current(), _derived
        if known is None or known[0] is not current:
            known = _derived = (current, set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
        self._token = attach(known[1])

    def __exit__(self, *_: object) -> None:
        detach(self._token)

"""What callers give to a store: looked at once, and a `ValueError` where it is not accepted."""

from collections.abc import Sequence

from otel_metrics import values
from otel_metrics.sovereignty.kinds import accepted

__all__ = ["game_of", "one_of", "session_of"]


def one_of(argument: str, given: object, choices: Sequence[str]) -> str:
    """Return a text that is one of the choices."""
    shown = values.label(given)  # plain, whatever it was
    if isinstance(shown, str) and shown in choices:
        return shown
    raise ValueError(f"{argument}={shown!r}: is not known; give {accepted(shown, choices)}")


def session_of(given: str) -> str:
    """Return the id of a session, which is not empty."""
    taken = values.text(given) if issubclass(type(given), str) else ""
    if not taken:
        raise ValueError(f"session_id={values.label(given)!r}: give a text that is not empty")
    return taken


def game_of(given: str) -> str:
    """Return what a session is about."""
    if not issubclass(type(given), str):
        raise ValueError(f"game={values.label(given)!r}: give a text")
    return values.text(given)

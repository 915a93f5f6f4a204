"""Events for tests, at times that a test chooses."""

from typing import Final

from otel_metrics.sovereignty.report import Event

T0: Final = 1_790_000_040.0
"""The beginning of a minute."""
MINUTE: Final = 60.0
HOUR: Final = 3600.0


def happened(
    event_type: str,
    times: int = 1,
    *,
    at: float = 0.0,
    session: str | None = None,
    **metadata: object,
) -> list[Event]:
    """Return so many events, so many seconds after `T0`."""
    return [Event(T0 + at, event_type, session, metadata) for _ in range(times)]

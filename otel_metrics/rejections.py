"""Accounts for what is not recorded as asked: values that were refused, series over their budget.

Counted always, logged once a minute a kind, raised in strict mode only.

Threads: called from any thread, signal handlers included; `_lock` guards the counts.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.util.types import AttributeValue

from otel_metrics import values
from otel_metrics.errors import RecordingError

__all__ = [
    "OVERFLOW_ATTRIBUTE",
    "Measured",
    "Series",
    "clear",
    "overflow",
    "read_overflowed",
    "read_rejected",
    "reject",
    "set_strict",
]

OVERFLOW_ATTRIBUTE: Final = "otel.metric.overflow"
"""The one attribute of the series that takes what is over a metric's budget."""
LOG_INTERVAL_S: Final = 60.0
"""At most one log line per metric and reason in this time."""
LOG_LINES_MAX: Final = 20
"""At most so many log lines in that time, whatever the metrics and reasons are."""
KINDS_MAX: Final = 1_000
"""Distinct (metric, reason) pairs that are counted apart; the rest count as other."""

Series = Mapping[str, AttributeValue]
Measured = Iterable[tuple[int | float, Series]]

_logger = logging.getLogger("otel_metrics.instruments")
_lock = threading.RLock()
_rejected: Counter[tuple[str, str]] = Counter()
_overflowed: Counter[str] = Counter()
_logged: dict[tuple[str, str], float] = {}
_strict = False


def reject(name: str, reason: str, accepted: str) -> None:
    """Count a value that was not recorded, and say so in the log at most once a minute.

    Raises:
        RecordingError: in strict mode.
    """
    if _strict:
        raise RecordingError(f"{name}: {reason}; accepted is {accepted}")
    kind = (name, reason)
    now = time.monotonic()
    with _lock:
        if kind not in _rejected and len(_rejected) >= KINDS_MAX:
            kind = ("other", "other")
        _rejected[kind] += 1
        if now - _logged.get(kind, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
            return
        if sum(now - at < LOG_INTERVAL_S for at in _logged.values()) >= LOG_LINES_MAX:
            return
        _logged[kind] = now
        total = _rejected[kind]
    shown = values.text(name, chars_max=200).encode("unicode_escape").decode()
    _logger.warning(
        "%s: not recorded (%s), %d so far; accepted is %s", shown, reason, total, accepted
    )


def overflow(name: str, budget: int, read_sets: Callable[[], Sequence[Series]]) -> None:
    """Count a call that went to the overflow series; the first one names the worst attribute."""
    with _lock:
        _overflowed[name] += 1
        if _overflowed[name] > 1:
            return
    distinct: dict[str, set[AttributeValue]] = {}
    for kept in read_sets():
        for key, value in kept.items():
            distinct.setdefault(key, set()).add(value)
    worst = max(distinct, key=lambda key: len(distinct[key]), default="none")
    _logger.warning(
        "%s: more than %d attribute sets; further ones count under %s=true. "
        "Most values: attribute %s, %d of them. Give it fewer values, or raise series_budget",
        name,
        budget,
        OVERFLOW_ATTRIBUTE,
        worst,
        len(distinct.get(worst, ())),
    )


def set_strict(*, strict: bool) -> None:
    """Make each rejected value a `RecordingError` (`OTEL_PYTHON_METRICS_STRICT`, tests)."""
    global _strict
    _strict = strict


def clear() -> None:
    """Start counting from nothing, with a lock of this process."""
    global _lock
    _lock = threading.RLock()
    _rejected.clear()
    _overflowed.clear()
    _logged.clear()


def read_rejected() -> Measured:
    """Return the calls refused so far, by metric and reason."""
    with _lock:
        counts = list(_rejected.items())
    return [(total, {"metric": name, "reason": reason}) for (name, reason), total in counts]


def read_overflowed() -> Measured:
    """Return the calls that went to an overflow series so far, by metric."""
    with _lock:
        counts = list(_overflowed.items())
    return [(total, {"metric": name}) for name, total in counts]

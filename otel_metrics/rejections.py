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
"""Distinct (metric, reason) pairs, and metrics over their budget, that are counted apart; the rest
count as other."""

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
        if not _may_log():
            return
        _logged[kind] = now
        total = _rejected[kind]
    _logger.warning(
        "%s: not recorded (%s), %d so far; accepted is %s", _shown(name), reason, total, accepted
    )


def overflow(
    name: str,
    sets_max: int,
    read_sets: Callable[[], Sequence[Series]],
    *,
    measurements: int = 1,
    remedy: str = "raise series_budget",
) -> None:
    """Count what went to the overflow series of a metric; the first time, say whose fault it is.

    Args:
        name: the metric.
        sets_max: how many attribute sets it keeps.
        read_sets: returns those; called at most once in the life of the process.
        measurements: how many went there.
        remedy: what gives the metric room for more.
    """
    kind = (name, "overflow")
    with _lock:
        known = name in _overflowed or len(_overflowed) < KINDS_MAX
        _overflowed[name if known else "other"] += measurements
        if not known or kind in _logged or not _may_log():
            return
        _logged[kind] = time.monotonic()
    distinct: dict[str, set[str]] = {}
    for kept in read_sets():
        for key, value in kept.items():
            distinct.setdefault(key, set()).add(repr(value))
    worst = max(distinct, key=lambda key: len(distinct[key]), default="none")
    _logger.warning(
        "%s: more than %d attribute sets; further ones count under %s=true. "
        "Most values: attribute %s, %d of them. Give it fewer values, or %s",
        _shown(name),
        sets_max,
        OVERFLOW_ATTRIBUTE,
        _shown(worst),
        len(distinct.get(worst, ())),
        remedy,
    )


def _may_log() -> bool:
    """Tell whether there is room for one more line. Called with the lock held."""
    now = time.monotonic()
    return sum(now - at < LOG_INTERVAL_S for at in _logged.values()) < LOG_LINES_MAX


def _shown(name: str) -> str:
    """Return a name, which may be made from data, as it is shown in a log line."""
    return values.text(name, chars_max=200).encode("unicode_escape").decode()


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

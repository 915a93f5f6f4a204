"""Shows budgets where metrics and events are looked for. Nothing here raises.

The gauges are read from the ledger at each collection, so they agree with it whatever crashed
before, and every process of a service shows the same. What is counted (`budget.refusals`) and
emitted (`budget.refused`, `budget.warned`) follows the transaction that it tells of.

Threads: `tell` runs on the caller's thread, the gauges on the one that collects, which waits at
most `READ_WAIT_S` for the ledger; `_lock` guards the tables of each.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from otel_metrics import events, instruments
from otel_metrics.budgets.limits import EACH, Charge, Outcome, Use, moment
from otel_metrics.budgets.units import Unit, figure, public, shown
from otel_metrics.errors import BudgetUnavailable
from otel_metrics.instruments import Measured, reject

__all__ = ["Gauges", "Refusals", "count_tokens", "tell", "tell_unavailable"]

READ_WAIT_S: Final = 0.05
"""How long a collection waits for the ledger; it shows what it knew where that is not enough."""
READ_EVERY_S: Final = 0.5
"""The gauges of one collection come from one state of the ledger, read at most so often."""
STALE_AFTER_S: Final = 30.0
"""What could not be read again for so long is not shown."""
SERIES_MAX: Final = 2_000
"""Budgets, or subjects of one, that are shown."""
REFUSED_EVERY_S: Final = 1.0
"""An agent that is refused tries again, in a loop: one event a budget in this time, with the number
of refusals since the one before. The counter and the ledger count each."""
REFUSED_MAX: Final = 2_000
"""Budgets, or subjects of one, whose last event is remembered."""

_WORD: Final = {"tokens": "token", "USD": "USD"}

_logger = logging.getLogger("otel_metrics.budgets")
_refusals = instruments.metric("budget.refusals")
_tokens_used = instruments.metric("pforge.tokens.used")
_tenant_usage = instruments.metric("pforge.budget.usage")


class Refusals:
    """When a refusal by each budget of a ledger was last an event, and how many there were since.

    A forked child starts with those of its parent, and a lock of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._last: dict[str, tuple[float, int]] = {}

    def due(self, name: str) -> int:
        """Return how many refusals an event now stands for; 0 where none is due."""
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
        now = time.monotonic()
        with self._lock:
            at, since = self._last.get(name, (now - REFUSED_EVERY_S, 0))
            is_due = now - at >= REFUSED_EVERY_S
            if name not in self._last and len(self._last) >= REFUSED_MAX:
                self._last.clear()
            self._last[name] = (now, 0) if is_due else (at, since + 1)
        return since + 1 if is_due else 0


def tell(outcome: Outcome, charge: Charge, refusals: Refusals) -> None:
    """Count and tell what a transaction that is committed refused, and what it warned of."""
    for use in outcome.refused:
        _refusals.add(1, {"budget.name": use.name})
        since = refusals.due(use.name)
        if since:
            requested = _number(charge.amount(use.budget.unit) or 0, use.budget.unit)
            about = {"budget.requested": requested, "budget.refused_since": since}
            events.emit("budget.refused", {**_about(use), **about})
    for use in outcome.warned:
        soft = use.budget.soft_limit or 0
        _logger.warning(
            "budget %s: its soft limit of %s is passed, %s used of %s a %s; it starts anew at %s",
            _plain(use.name),
            shown(soft, use.budget.unit),
            figure(use.used, use.budget.unit),
            figure(use.budget.limit, use.budget.unit),
            use.budget.period,
            f"{moment(use.ends_us):%Y-%m-%dT%H:%M:%SZ}",
        )
        about = {"budget.soft_limit": _number(soft, use.budget.unit)}
        events.emit("budget.warned", {**_about(use), **about})
    for use in outcome.uses:
        if _is_quota(use):
            _tenant_usage.set(_percent(use), {"tenant": use.subject})


def count_tokens(charge: Charge, vendor: str | None, model: str | None) -> None:
    """Count the tokens of a spend that was booked, where its vendor and model are known."""
    if charge.tokens is not None and vendor is not None and model is not None:
        _tokens_used.add(charge.tokens, {"vendor": vendor, "model": model})


def tell_unavailable(error: BudgetUnavailable) -> None:
    """Account for a spend that was allowed although no budget could be checked."""
    reject("budget.used", "ledger_unavailable", f"a ledger that can be written: {error}")


class Gauges:
    """Feeds the gauges of budgets from one ledger.

    Args:
        read: returns how the budgets stand, and waits no longer than it is told.
    """

    def __init__(self, read: Callable[[float, int], Sequence[Use]]) -> None:
        self._read = read
        self._start_over()

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._seen: list[Use] = []
        self._asked_at = self._seen_at = -STALE_AFTER_S
        self._quotas: set[str] = set()

    def register(self) -> None:
        """Let each collection ask for the gauges."""
        instruments.observe("budget.limit", lambda: self._gauge(lambda use: use.budget.limit))
        instruments.observe("budget.used", lambda: self._gauge(lambda use: use.used))
        instruments.observe("budget.remaining", lambda: self._gauge(lambda use: use.remaining))

    def _gauge(self, value: Callable[[Use], int]) -> Measured:
        return [
            (
                _number(value(use), use.budget.unit),
                {"budget.name": use.name, "budget.unit": _WORD[use.budget.unit]},
            )
            for use in self._uses()
        ]

    def _uses(self) -> list[Use]:
        if self._pid != os.getpid():  # a forked child has its own lock, and has seen nothing
            self._start_over()
        now = time.monotonic()
        with self._lock:
            if now - self._asked_at >= READ_EVERY_S:
                self._asked_at = now
                self._look(now)
            return self._seen if now - self._seen_at < STALE_AFTER_S else []

    def _look(self, now: float) -> None:
        try:
            uses = self._read(READ_WAIT_S, SERIES_MAX)
        except BudgetUnavailable:
            return  # who spends is told; what was seen is shown until it is stale
        self._seen = [use for use in uses if use.subject != EACH]
        self._seen_at = now
        quotas = {use.subject: use for use in self._seen if _is_quota(use)}
        for tenant in self._quotas - quotas.keys():  # its day is over
            _tenant_usage.forget({"tenant": tenant})
        for tenant, use in quotas.items():
            _tenant_usage.set(_percent(use), {"tenant": tenant})
        self._quotas = set(quotas)


def _about(use: Use) -> dict[str, object]:
    budget = use.budget
    return {
        "budget.name": use.name,
        "budget.unit": _WORD[budget.unit],
        "budget.scope": budget.scope,
        "budget.subject": use.subject or None,
        "budget.period": budget.period,
        "budget.amount_limit": _number(budget.limit, budget.unit),
        "budget.amount_used": _number(use.used, budget.unit),
        "budget.amount_reserved": _number(use.reserved, budget.unit),
        "budget.amount_remaining": _number(use.remaining, budget.unit),
        "budget.resets_at": f"{moment(use.ends_us):%Y-%m-%dT%H:%M:%SZ}",
    }


def _number(amount: int, unit: Unit) -> int | float:
    known = public(amount, unit)
    return known if isinstance(known, int) else float(known)


def _is_quota(use: Use) -> bool:
    """Tell whether this is what `pforge.budget.usage` shows: a tenant's daily tokens."""
    budget = use.budget
    return use.holds and (budget.scope, budget.unit, budget.period) == ("tenant", "tokens", "day")


def _percent(use: Use) -> float:
    return 100 * use.used / use.budget.limit if use.budget.limit else 100.0


def _plain(name: str) -> str:
    return name.encode("unicode_escape").decode()

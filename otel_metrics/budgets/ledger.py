"""One ledger: budgets, and what is spent of them, exact over threads and processes of one host.

Says no by raising: `BudgetExceeded` where a budget has no room, `BudgetUnavailable` where that
cannot be told. Both before anything is booked.

Threads: any; a call works on its caller's thread and waits at most `wait_s` for other writers.
"""

import os
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from otel_metrics.budgets import booking, definitions, recorder, standings
from otel_metrics.budgets.arguments import budget_of, charge_of, key_of, word
from otel_metrics.budgets.limits import Charge, Identity, Period, Standing, Use
from otel_metrics.budgets.receipt import Receipt, receipt_of
from otel_metrics.budgets.reservation import Actual, Asked, Given, Reserving, Whose
from otel_metrics.budgets.units import UNITS, Amount, Unit, public
from otel_metrics.errors import BudgetUnavailable

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["RESERVED_FOR_S", "WAIT_S", "BudgetLedger", "WhenUnavailable"]

R = TypeVar("R")

WAIT_S: Final = 5.0
"""How long a call waits for others that write the ledger."""
RESERVED_FOR_S: Final = 600.0
"""How long a reservation holds, unless it is settled or released before."""

WhenUnavailable = Literal["refuse", "allow"]
"""What becomes of a spend when the ledger cannot be asked."""


class BudgetLedger:
    """Budgets and what is spent of them, in one SQLite file that processes of a host share.

    A new file holds one budget, `tenant-daily`: 1,500,000 tokens a day for each tenant.

    Args:
        path: the file; made when it is first used.
        when_unavailable: `refuse` raises `BudgetUnavailable` for a spend that cannot be checked;
            `allow` lets it pass unbooked, and counts it as rejected (`ledger_unavailable`).
        wait_s: how long a call waits for others that write.
        clock: Unix nanoseconds; another one in tests.

    Attributes:
        path: the file.

    Example:
        >>> from otel_metrics.budgets import BudgetLedger
        >>> ledger = BudgetLedger("budgets.db")
        >>> ledger.define("acme-monthly", 250, unit="USD", period="month", tenant="acme")
        >>> ledger.spend(1200, usd=0.018, tenant="acme").is_duplicate
        False
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        when_unavailable: WhenUnavailable = "refuse",
        wait_s: float = WAIT_S,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        # Deferred: it loads sqlite3, which a service without budgets does not need.
        from otel_metrics.budgets.store import Store

        if when_unavailable not in ("refuse", "allow"):
            raise ValueError(f"when_unavailable={when_unavailable!r}: accepted is refuse, allow")
        self._store = Store(path)
        self._allow = when_unavailable == "allow"
        self._wait_s = wait_s
        self._clock = clock
        self._refusals = recorder.Refusals()
        self.path = self._store.path

    def define(
        self,
        name: str,
        limit: Amount,
        *,
        unit: Unit = "tokens",
        period: Period = "day",
        soft_limit: Amount | None = None,
        tenant: str | None = None,
        skill: str | None = None,
        agent: str | None = None,
    ) -> None:
        """Add a budget, or change the one of that name.

        What was spent in the running period counts, also what was spent before the budget was
        defined. Without tenant, skill and agent it is global: every spend counts. With `"*"` each
        has as much to itself, but those that have a budget of their own of that unit and period.

        Args:
            name: of the budget, without `/`.
            limit: what may be spent in a period; tokens, or dollars to the billionth.
            unit: `tokens` or `USD`.
            period: `hour`, `day` or `month`, of the calendar in UTC.
            soft_limit: more than this is warned of, once a period; nothing is refused.
            tenant: whom it is of, or skill, or agent; one of them at most.

        Raises:
            ValueError: an argument is not accepted.
            BudgetUnavailable: the ledger cannot be written.
        """
        budget = budget_of(
            name,
            limit,
            unit=unit,
            period=period,
            soft_limit=soft_limit,
            tenant=tenant,
            skill=skill,
            agent=agent,
        )
        self._write(lambda connection, now_us: definitions.define(connection, budget, now_us))

    def remove(self, name: str) -> bool:
        """Remove a budget, and tell whether there was one; what was spent stays booked.

        Raises:
            BudgetUnavailable: the ledger cannot be written.
        """
        return self._write(lambda connection, _: definitions.remove(connection, name))

    def spend(
        self,
        tokens: Amount | None = None,
        *,
        usd: Amount | None = None,
        tenant: str | None = None,
        skill: str | None = None,
        agent: str | None = None,
        vendor: str | None = None,
        model: str | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Book tokens, dollars or both, if every budget that they touch has room: all or nothing.

        An exact fit passes. What is booked survives the end of the process, however it ends.

        Args:
            tokens: whole tokens.
            usd: dollars, to the billionth; give a `Decimal`, or a float as it is written.
            tenant: who spends; likewise skill and agent. Each that is given finds its budgets.
            vendor: with `model`, counts the tokens as `pforge.tokens.used`; leave them out where
                `tokens.record` counts the call.
            idempotency_key: a spend whose key was booked before, in the last 40 days, is not
                booked again. With another amount, tenant, skill or agent it is a `ValueError`.

        Raises:
            BudgetExceeded: a budget has less left; nothing was booked.
            BudgetUnavailable: the ledger cannot be asked; nothing was booked.
            ValueError: an argument is not accepted.
        """
        charge = charge_of(tokens, usd, tenant=tenant, skill=skill, agent=agent)
        key = key_of(idempotency_key)
        try:
            outcome = self._write(
                lambda connection, now_us: booking.spend(
                    connection, self._store, charge, now_us, key
                )
            )
        except BudgetUnavailable as error:
            return self._unchecked(error)
        return receipt_of(outcome, charge, self._refusals, vendor=vendor, model=model)

    def reserve(
        self,
        tokens: Given = None,
        *,
        usd: Given = None,
        tenant: Whose = None,
        skill: Whose = None,
        agent: Whose = None,
        vendor: str | None = None,
        model: str | None = None,
        idempotency_key: Whose = None,
        time_limit_s: float = RESERVED_FOR_S,
        actual: Callable[[Any], Actual] | None = None,
    ) -> Reserving:
        """Hold an amount while a call runs, and book what the call came to; see `Reserving`.

        Args:
            tokens: how many the call may take; as a decorator also a function of its arguments.
                So may be `usd`, `tenant`, `skill`, `agent` and `idempotency_key`.
            vendor: as in `spend`, like `model`.
            time_limit_s: how long it holds if the process ends before it is settled or released.
            actual: as a decorator: returns what a call came to, from its result: tokens, or a
                mapping with `tokens`, `usd` or both.

        Raises:
            ValueError: an argument is not accepted.
        """
        return Reserving(
            lambda: self,
            Asked(tokens, usd, tenant, skill, agent, idempotency_key),
            vendor=vendor,
            model=model,
            time_limit_s=time_limit_s,
            actual=actual,
        )

    def remaining(
        self,
        unit: Unit = "tokens",
        *,
        tenant: str | None = None,
        skill: str | None = None,
        agent: str | None = None,
    ) -> int | Decimal | None:
        """Return what such a spend may be at most now: the least that is left of its budgets.

        None where no budget limits it.

        Raises:
            BudgetUnavailable: the ledger cannot be read.
            ValueError: an argument is not accepted.
        """
        unit = word("unit", unit, UNITS)
        charge = charge_of(0, 0, tenant=tenant, skill=skill, agent=agent)
        uses = self._read(
            lambda connection, now_us: standings.uses_of(connection, self._store, charge, now_us)
        )
        left = [use.remaining for use in uses if use.holds and use.budget.unit == unit]
        return public(min(left), unit) if left else None

    def list(self) -> Sequence[Standing]:
        """Return how every budget stands, by name.

        One that each has to itself (`*`) stands there, and once for each that spent in its period.

        Raises:
            BudgetUnavailable: the ledger cannot be read.
        """
        return [use.standing() for use in self.uses()]

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._store.close()

    @property
    def damaged(self) -> str | None:
        """Where a damaged ledger lies that this one was begun in place of, if one does."""
        return self._store.damaged()

    def uses(self, *, wait_s: float | None = None, rows_max: int | None = None) -> Sequence[Use]:
        """Return what `list` is made of."""
        most = standings.OVERVIEW_MAX if rows_max is None else rows_max
        return self._read(
            lambda connection, now_us: standings.overview(
                connection, self._store, now_us, rows_max=most
            ),
            wait_s,
        )

    def hold(
        self, charge: Charge, key: str | None, time_limit_s: float
    ) -> tuple[Receipt, Identity | None]:
        """Reserve, for `Reserving`; without an identity where the key was booked before.

        Raises:
            BudgetExceeded, BudgetUnavailable: as `spend`.
        """
        for_us = int(time_limit_s * 1_000_000)
        try:
            outcome = self._write(
                lambda connection, now_us: booking.hold(
                    connection, self._store, charge, now_us, key, for_us=for_us
                )
            )
        except BudgetUnavailable as error:
            return self._unchecked(error), booking.new_identity(self._clock() // 1000)
        return receipt_of(outcome, charge, self._refusals), outcome.identity

    def settle(
        self,
        charge: Charge,
        identity: Identity,
        key: str | None,
        *,
        vendor: str | None,
        model: str | None,
    ) -> Receipt:
        """Book what a reservation came to.

        Raises:
            BudgetUnavailable: the ledger cannot be written; it may be tried again.
        """
        try:
            outcome = self._write(
                lambda connection, now_us: booking.settle(
                    connection, self._store, charge, identity, now_us, key
                )
            )
        except BudgetUnavailable as error:
            return self._unchecked(error)
        return receipt_of(outcome, charge, self._refusals, vendor=vendor, model=model)

    def release(self, identity: Identity) -> None:
        """Give back what a reservation holds.

        Raises:
            BudgetUnavailable: the ledger cannot be written; it expires by itself.
        """
        self._write(lambda connection, _: booking.release(connection, identity))

    def _write(self, work: "Callable[[Connection, int], R]") -> R:
        # The clock is read inside the transaction: of two processes at midnight, the one that
        # books later books no earlier day.
        return self._store.write(
            lambda connection: work(connection, self._clock() // 1000), wait_s=self._wait_s
        )

    def _read(self, work: "Callable[[Connection, int], R]", wait_s: float | None = None) -> R:
        return self._store.read(
            lambda connection: work(connection, self._clock() // 1000),
            wait_s=self._wait_s if wait_s is None else wait_s,
        )

    def _unchecked(self, error: BudgetUnavailable) -> Receipt:
        if not self._allow:
            raise error
        recorder.tell_unavailable(error)
        return Receipt(is_checked=False)

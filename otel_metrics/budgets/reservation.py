"""Where a call reserves and settles: `with`, `async with`, or around each call of a function.

An estimate is held before the call and what the call came to is booked after it, so that a hundred
calls at once cannot each find the same room. What the process that reserved never settles, because
it was killed, expires.

Threads: a reservation is used by one thread or task at a time. In asynchronous code the ledger is
asked on a thread of the loop's executor, so that the loop does not wait for other writers.
"""

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast

from otel_metrics import values
from otel_metrics.budgets.arguments import charge_of, key_of
from otel_metrics.budgets.limits import Charge, Identity
from otel_metrics.budgets.receipt import Receipt
from otel_metrics.budgets.units import Amount
from otel_metrics.errors import BudgetUnavailable, RecordingError
from otel_metrics.instruments import reject

__all__ = ["Actual", "Asked", "Given", "Reservation", "Reserving", "Whose"]

P = ParamSpec("P")
R = TypeVar("R")

TIME_LIMIT_MAX_S: Final = 86_400.0
"""A reservation holds a day at most."""

Given = Amount | Callable[..., Amount | None] | None
"""An amount, or as a decorator what returns it from the call's arguments."""
Whose = str | Callable[..., str | None] | None
"""A name, or as a decorator what returns it from the call's arguments."""
Actual = Amount | Mapping[str, Amount] | None
"""What a call came to: tokens, or a mapping with `tokens`, `usd` or both; None as reserved."""


class Holder(Protocol):
    """What a reservation needs of its ledger."""

    def hold(
        self, charge: Charge, key: str | None, time_limit_s: float
    ) -> tuple[Receipt, Identity | None]:
        """Reserve."""

    def settle(
        self,
        charge: Charge,
        identity: Identity,
        key: str | None,
        *,
        vendor: str | None,
        model: str | None,
    ) -> Receipt:
        """Book."""

    def release(self, identity: Identity) -> None:
        """Give back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be reserved, as it was given; as a decorator, some of it for each call."""

    tokens: Given
    usd: Given
    tenant: Whose
    skill: Whose
    agent: Whose
    key: Whose

    def of_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> "Asked":
        """Return it for one call."""

        def told(given: Any) -> Any:
            return given(*args, **kwargs) if callable(given) else given

        return Asked(
            tokens=told(self.tokens),
            usd=told(self.usd),
            tenant=told(self.tenant),
            skill=told(self.skill),
            agent=told(self.agent),
            key=told(self.key),
        )

    def charge(self) -> tuple[Charge, str | None]:
        """Return what that is, checked, and its idempotency key.

        Raises:
            ValueError: an argument is not accepted.
        """
        charge = charge_of(
            self.tokens, self.usd, tenant=self.tenant, skill=self.skill, agent=self.agent
        )
        return charge, key_of(self.key)

    @property
    def is_of_a_call(self) -> bool:
        """Whether some of it is asked for at each call."""
        given = (self.tokens, self.usd, self.tenant, self.skill, self.agent, self.key)
        return any(callable(each) for each in given)


class Reservation:
    """An amount that is held.

    Attributes:
        is_open: it is neither settled nor released.
        is_duplicate: its idempotency key had been booked before: nothing is held, nor booked again.
    """

    def __init__(
        self,
        ledger: Holder,
        charge: Charge,
        key: str | None,
        held: tuple[Receipt, Identity | None],
        *,
        vendor: str | None,
        model: str | None,
    ) -> None:
        self._ledger = ledger
        self._charge = charge
        self._key = key
        self._receipt, self._identity = held
        self._about = {"vendor": vendor, "model": model}
        self._pid = os.getpid()
        self.is_open = self._identity is not None
        self.is_duplicate = self._receipt.is_duplicate

    def settle(self, tokens: Amount | None = None, *, usd: Amount | None = None) -> Receipt:
        """Book what the call came to, whatever was reserved; it is a fact, and never refused.

        It counts in the period in which it was reserved. An amount that is not given is booked as
        it was reserved. It may be called again when it raised; once booked, it changes nothing.

        Raises:
            BudgetUnavailable: the ledger cannot be written.
            ValueError: an amount is not accepted.
        """
        charge = self._charge
        if tokens is not None or usd is not None:
            given = charge_of(tokens, usd)
            charge = replace(
                charge,
                tokens=charge.tokens if given.tokens is None else given.tokens,
                nano_usd=charge.nano_usd if given.nano_usd is None else given.nano_usd,
            )
        if self.is_open and self._identity is not None:
            self._receipt = self._ledger.settle(charge, self._identity, self._key, **self._about)
            self.is_open = False
        return self._receipt

    def release(self) -> None:
        """Give back what is held, and book nothing.

        Raises:
            BudgetUnavailable: the ledger cannot be written; it expires by itself.
        """
        if self.is_open and self._identity is not None:
            self.is_open = False
            self._ledger.release(self._identity)

    def end(self, error: BaseException | None) -> None:
        """Book what was reserved, or give it back after an error, unless it was settled.

        A child that was forked while it was open leaves it to the parent.
        """
        if self._pid != os.getpid():
            return
        if error is None:
            self.settle()
            return
        with contextlib.suppress(BudgetUnavailable):  # it expires; the caller's error is to be seen
            self.release()


class Reserving:
    """Reserves on entering and settles on leaving; or does so around each call of a function.

    In `with` and `async with` it gives a `Reservation`: say by `settle` what the call came to. A
    block that ends without books what was reserved; one that raises gives it back.

    Example:
        >>> from otel_metrics import budgets
        >>> budgets.use("budgets.db")
        >>> with budgets.reserve(4000, tenant="acme") as reserved:
        ...     answer = {"usage": {"total_tokens": 3120}}
        ...     booked = reserved.settle(answer["usage"]["total_tokens"])
        >>> @budgets.reserve(4000, tenant=lambda tenant, text: tenant, actual=len)
        ... def summarise(tenant: str, text: str) -> str:
        ...     return text[:20]
        >>> summarise("acme", "a long report")
        'a long report'
    """

    def __init__(
        self,
        ledger: Callable[[], Holder],
        asked: Asked,
        *,
        vendor: str | None,
        model: str | None,
        time_limit_s: float,
        actual: Callable[[Any], Actual] | None,
    ) -> None:
        if not asked.is_of_a_call:
            asked.charge()  # what is wrong is said where it is written
        self._ledger = ledger
        self._asked = asked
        self._about = {"vendor": vendor, "model": model}
        self._time_limit_s = _time_limit(time_limit_s)
        self._actual = actual
        self._open: Reservation | None = None

    def __enter__(self) -> Reservation:
        self._must_be_free()
        self._open = self._hold(self._asked)
        return self._open

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        reservation, self._open = self._open, None
        if reservation is not None:
            reservation.end(error)

    async def __aenter__(self) -> Reservation:
        self._must_be_free()
        self._open = await self._hold_aside(self._asked)
        return self._open

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        reservation, self._open = self._open, None
        if reservation is not None and reservation.is_open:
            await _aside(lambda: reservation.end(error))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Reserve and settle around each call of a function or coroutine function."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator: its consumer says when it ends; write "
                "`with budgets.reserve(...)` inside it, and settle at its end"
            )
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", self._around_coroutine(function))

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            reservation = self._hold(self._asked.of_call(args, kwargs))
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                reservation.end(error)
                raise
            self._book(reservation, result)
            return result

        return called

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            reservation = await self._hold_aside(self._asked.of_call(args, kwargs))
            try:
                result = await function(*args, **kwargs)
            except BaseException as raised:
                error = raised
                await _aside(lambda: reservation.end(error))
                raise
            await _aside(lambda: self._book(reservation, result))
            return result

        return awaited

    def _must_be_free(self) -> None:
        if self._open is not None:
            raise RuntimeError("this reservation is open; call budgets.reserve(...) for each block")
        if self._asked.is_of_a_call:
            raise TypeError("functions of a call's arguments are for the decorator; give values")

    def _hold(self, asked: Asked) -> Reservation:
        charge, key = asked.charge()
        ledger = self._ledger()
        held = ledger.hold(charge, key, self._time_limit_s)
        return Reservation(ledger, charge, key, held, **self._about)

    async def _hold_aside(self, asked: Asked) -> Reservation:
        """Reserve on another thread; a task that is cancelled meanwhile holds nothing."""
        from otel_metrics.budgets import aside  # deferred: it loads asyncio

        return await aside.made(lambda: self._hold(asked), Reservation.end)

    def _book(self, reservation: Reservation, result: Any) -> None:
        """Settle a call that returned. Its result, which was paid for, is not lost to a ledger that
        cannot be written, nor to a result that does not say what it took."""
        try:
            given = {} if self._actual is None else _amounts(self._actual(result))
        except RecordingError:
            raise
        except Exception as error:  # noqa: BLE001  # the caller's function over the caller's result
            kind = type(error).__qualname__
            reject("budget.used", "hostile_value", f"an `actual` that does not raise {kind}")
            given = {}
        try:
            reservation.settle(**given)
        except BudgetUnavailable as error:
            reject("budget.used", "ledger_unavailable", f"a ledger that can be written: {error}")
        except ValueError as error:
            reject("budget.used", "hostile_value", f"amounts from `actual`: {error}")
            reservation.settle()


async def _aside(work: Callable[[], None]) -> None:
    from otel_metrics.budgets import aside  # deferred: it loads asyncio

    await aside.run(work)


def _amounts(given: Actual) -> dict[str, Any]:
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else {"tokens": given}


def _time_limit(given: float) -> float:
    try:
        taken = float(values.number(given, integer=False, negative=False))
    except values.RejectedValueError:
        taken = 0.0
    if not 0 < taken <= TIME_LIMIT_MAX_S:
        raise ValueError(f"time_limit_s: accepted are seconds up to {TIME_LIMIT_MAX_S:g}, above 0")
    return taken

"""Reserve before a call, settle after it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_metrics import budgets
from otel_metrics.budgets import BudgetExceeded, BudgetLedger, BudgetUnavailable
from otel_metrics.testing import capture
from tests.otel_metrics.budgets.ledgers import Clock, disagreements, entries


@pytest.fixture
def acme(in_use: BudgetLedger) -> BudgetLedger:
    """A ledger in which tenant acme has 100 tokens an hour."""
    in_use.define("acme", 100, tenant="acme", period="hour")
    return in_use


def held(ledger: BudgetLedger) -> tuple[Any, Any]:
    """Return what acme has used, and what is reserved of it."""
    standing = next(each for each in ledger.list() if each.name == "acme")
    return standing.used, standing.reserved


def test_what_is_reserved_is_not_left_to_others(acme: BudgetLedger) -> None:
    """Until it is settled, at less or more."""
    with budgets.reserve(70, tenant="acme") as reserved:
        assert held(acme) == (0, 70)
        with pytest.raises(
            BudgetExceeded, match=r"30 left of 100 an? hour \(0 used, 70 reserved\)"
        ):
            budgets.spend(31, tenant="acme")
        reserved.settle(20)
        assert held(acme) == (20, 0)
        budgets.spend(80, tenant="acme")


def test_what_finds_no_room_does_not_begin(acme: BudgetLedger) -> None:
    """The block is not entered."""
    with pytest.raises(BudgetExceeded), budgets.reserve(101, tenant="acme"):
        pytest.fail("entered")

    assert held(acme) == (0, 0)


def test_a_block_that_says_nothing_books_what_it_reserved(acme: BudgetLedger) -> None:
    """A call whose tokens nobody counted was not free."""
    with budgets.reserve(70, tenant="acme"):
        pass

    assert held(acme) == (70, 0)


def test_a_block_that_raises_gives_back_what_it_did_not_settle(acme: BudgetLedger) -> None:
    """The error goes on."""
    with pytest.raises(ZeroDivisionError), budgets.reserve(70, tenant="acme"):
        raise ZeroDivisionError
    assert held(acme) == (0, 0)

    with pytest.raises(ZeroDivisionError), budgets.reserve(70, tenant="acme") as reserved:
        reserved.settle(50)
        raise ZeroDivisionError
    assert held(acme) == (50, 0)


def test_a_reservation_may_be_given_back(acme: BudgetLedger) -> None:
    """Before its block ends."""
    with budgets.reserve(70, tenant="acme") as reserved:
        reserved.release()
        assert held(acme) == (0, 0)

    assert held(acme) == (0, 0)


def test_more_than_was_reserved_is_booked_all_the_same(acme: BudgetLedger) -> None:
    """It was used; what comes next is refused."""
    with budgets.reserve(70, tenant="acme") as reserved:
        reserved.settle(130)

    assert held(acme) == (130, 0)
    with pytest.raises(BudgetExceeded):
        budgets.spend(1, tenant="acme")


def test_a_second_settlement_changes_nothing(acme: BudgetLedger) -> None:
    """The first is booked."""
    with budgets.reserve(70, tenant="acme") as reserved:
        reserved.settle(20)
        reserved.settle(90)

    assert held(acme) == (20, 0)


def test_an_amount_that_is_not_settled_is_booked_as_reserved(in_use: BudgetLedger) -> None:
    """A call costs tokens and dollars; often only its tokens are known after it."""
    in_use.define("bill", 1, unit="USD")
    with budgets.reserve(70, usd=Decimal("0.25"), tenant="acme") as reserved:
        reserved.settle(20)

    assert (in_use.remaining("USD"), in_use.remaining(tenant="acme")) == (
        Decimal("0.75"),
        1_499_980,
    )


def test_a_reservation_of_a_process_that_is_gone_expires(acme: BudgetLedger, clock: Clock) -> None:
    """After its time limit it holds nothing, whether anybody looks or not."""
    budgets.reserve(70, tenant="acme", time_limit_s=60).__enter__()
    clock.set("2026-01-15T10:30:59")
    assert acme.remaining(tenant="acme") == 30

    clock.set("2026-01-15T10:31:00")

    assert acme.remaining(tenant="acme") == 100
    budgets.spend(100, tenant="acme")


def test_a_call_that_outlives_its_reservation_is_booked(
    acme: BudgetLedger, path: Path, clock: Clock
) -> None:
    """It was used, also where somebody else has taken the room meanwhile."""
    with budgets.reserve(70, tenant="acme", time_limit_s=60) as reserved:
        clock.set("2026-01-15T10:45:00")
        with budgets.reserve(100, tenant="acme"):
            reserved.settle(65)

    assert held(acme) == (165, 0)
    assert disagreements(path) == []


def test_a_call_over_midnight_counts_where_it_was_reserved(
    in_use: BudgetLedger, path: Path, clock: Clock
) -> None:
    """The day that allowed it pays for it, and the next one begins empty."""
    in_use.define("acme", 100, tenant="acme")
    clock.set("2026-01-15T23:59:59")
    with budgets.reserve(70, tenant="acme") as reserved:
        clock.set("2026-01-16T00:00:01")
        assert held(in_use) == (0, 0)
        reserved.settle(60)

    assert in_use.remaining(tenant="acme") == 100
    clock.set("2026-01-15T23:59:59")
    assert in_use.remaining(tenant="acme") == 40
    assert disagreements(path) == []


def test_a_key_that_was_settled_is_not_booked_again(acme: BudgetLedger) -> None:
    """A retry of the whole block, as after a lost answer."""
    for amount in (60, 55):
        with budgets.reserve(80, tenant="acme", idempotency_key="job-1") as reserved:
            reserved.settle(amount)

    assert reserved.is_duplicate
    assert held(acme) == (60, 0)


def test_a_key_that_was_settled_is_not_reserved_by_others(acme: BudgetLedger) -> None:
    """Nor spent by them while it is open: what they take would be booked nowhere."""
    with budgets.reserve(80, tenant="acme", idempotency_key="job-1") as reserved:
        with pytest.raises(ValueError, match=r"^idempotency_key=job-1: is of another spend"):
            budgets.spend(80, tenant="other", idempotency_key="job-1")
        reserved.settle(60)

    with pytest.raises(ValueError, match=r"^idempotency_key=job-1: is of another spend"):
        budgets.reserve(80, tenant="other", idempotency_key="job-1").__enter__()


def test_a_key_that_others_took_after_it_expired_is_settled(
    acme: BudgetLedger, clock: Clock
) -> None:
    """A call that outlived its time limit is booked."""
    with budgets.reserve(80, tenant="acme", idempotency_key="job-1", time_limit_s=1) as reserved:
        clock.set("2026-01-15T10:30:02")
        budgets.spend(5, tenant="other", idempotency_key="job-1")
        reserved.settle(60)

    assert held(acme) == (60, 0)


def test_a_key_that_is_open_holds_once(acme: BudgetLedger) -> None:
    """A retry while the first one is still at work takes no second share."""
    with budgets.reserve(80, tenant="acme", idempotency_key="job-1") as first:
        with budgets.reserve(80, tenant="acme", idempotency_key="job-1") as second:
            assert held(acme) == (0, 80)
            second.settle(70)
        first.settle(60)

    assert held(acme) == (70, 0)


def test_a_key_that_is_open_stays_held_until_its_last_holder_ends(acme: BudgetLedger) -> None:
    """Whichever of them raises first: the other is still at work."""
    for first_ends in (True, False):
        first = budgets.reserve(80, tenant="acme", idempotency_key="job-1")
        second = budgets.reserve(80, tenant="acme", idempotency_key="job-1")
        holders = [first.__enter__(), second.__enter__()]
        if not first_ends:
            holders.reverse()

        holders[0].release()
        assert held(acme) == (0, 80)
        holders[1].release()
        assert held(acme) == (0, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"tokens": 9, "tenant": "acme"},
        {"tokens": 100_000, "tenant": "acme"},
        {"tokens": 10, "usd": 1, "tenant": "acme"},
        {"usd": 10, "tenant": "acme"},
        {"tokens": 10, "tenant": "other"},
        {"tokens": 10, "tenant": "acme", "skill": "search"},
    ],
)
def test_a_key_that_is_open_is_not_reserved_for_another_charge(
    acme: BudgetLedger, other: dict[str, Any]
) -> None:
    """It would run unchecked by what the first one holds."""
    with budgets.reserve(10, tenant="acme", idempotency_key="job-1"):
        with pytest.raises(ValueError, match=r"^idempotency_key=job-1: is of another spend"):
            budgets.reserve(**other, idempotency_key="job-1").__enter__()
        assert held(acme) == (0, 10)


def test_a_function_is_reserved_for_call_by_call(acme: BudgetLedger) -> None:
    """What it is of may depend on its arguments, and what it came to on its result."""

    @budgets.reserve(
        lambda tenant, text: len(text),
        tenant=lambda tenant, text: tenant,
        actual=lambda answer: {"tokens": answer["total"]},
    )
    def ask(tenant: str, text: str) -> dict[str, int]:
        """Answer."""
        return {"total": len(text) // 2}

    assert ask("acme", "x" * 60) == {"total": 30}

    assert held(acme) == (30, 0)
    assert (ask.__name__, ask.__doc__) == ("ask", "Answer.")
    with pytest.raises(BudgetExceeded):
        ask("acme", "x" * 71)


def test_a_function_that_raises_gives_back_what_it_reserved(acme: BudgetLedger) -> None:
    """As a block does."""

    @budgets.reserve(40, tenant="acme")
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert held(acme) == (0, 0)


def test_a_function_whose_tokens_cannot_be_read_keeps_its_result(acme: BudgetLedger) -> None:
    """What was reserved is booked, and the mistake is counted."""

    @budgets.reserve(40, tenant="acme", actual=lambda answer: answer["usage"])
    def ask() -> dict[str, int]:
        return {}

    @budgets.reserve(40, tenant="acme", actual=lambda answer: -1)
    def ask_again() -> str:
        return "yes"

    with capture(strict=False) as seen:
        assert (ask(), ask_again()) == ({}, "yes")
        refused = {"metric": "budget.used", "reason": "hostile_value"}
        assert seen.value("metric.rejected", refused) == 2

    assert held(acme) == (80, 0)


async def test_a_coroutine_function_is_reserved_for(acme: BudgetLedger) -> None:
    """A hundred at once find no more room than there is."""

    @budgets.reserve(10, tenant="acme", actual=lambda tokens: tokens)
    async def ask() -> int:
        await asyncio.sleep(0)
        return 9

    answers = await asyncio.gather(*(ask() for _ in range(50)), return_exceptions=True)

    used, reserved = held(acme)
    assert answers.count(9) * 9 == used <= 100
    assert reserved == 0
    assert sum(isinstance(answer, BudgetExceeded) for answer in answers) == 50 - answers.count(9)


async def test_an_asynchronous_block_reserves_and_settles(acme: BudgetLedger) -> None:
    """And gives back what it did not settle when it raises."""
    async with budgets.reserve(70, tenant="acme") as reserved:
        assert held(acme) == (0, 70)
        reserved.settle(20)
    with pytest.raises(ZeroDivisionError):
        async with budgets.reserve(70, tenant="acme"):
            raise ZeroDivisionError

    assert held(acme) == (20, 0)


async def test_a_cancelled_task_gives_back_what_it_reserved(acme: BudgetLedger) -> None:
    """While it works."""
    entered = asyncio.Event()

    async def work() -> None:
        async with budgets.reserve(70, tenant="acme"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert held(acme) == (0, 0)


async def test_a_task_that_is_cancelled_while_it_reserves_holds_nothing(
    acme: BudgetLedger, path: Path
) -> None:
    """The thread that asks the ledger goes on; what it gets is given back."""

    async def work() -> None:
        async with budgets.reserve(70, tenant="acme"):
            pytest.fail("entered")

    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await _until_idle(path)

    assert held(acme) == (0, 0)


async def _until_idle(path: Path) -> None:
    """Wait until the thread has reserved, which leaves a row of usage, and given back."""
    async with asyncio.timeout(10):
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        while True:
            await asyncio.sleep(0.02)
            with closing(sqlite3.connect(path)) as file:
                if file.execute("SELECT count(*) FROM reservations").fetchone() == (0,) and (
                    file.execute("SELECT count(*) FROM usage").fetchone() != (0,)
                ):
                    return


async def test_a_loop_goes_on_while_the_ledger_is_held(acme: BudgetLedger, path: Path) -> None:
    """Other tasks run while one waits for another process."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    counting = asyncio.create_task(count())
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        asking = asyncio.create_task(_reserved())
        async with asyncio.timeout(10):
            while turns < 20:
                await asyncio.sleep(0.001)
        assert not asking.done()
        other.execute("ROLLBACK")
        await asking
    counting.cancel()

    assert held(acme) == (70, 0)


async def _reserved() -> None:
    async with budgets.reserve(70, tenant="acme"):
        pass


def test_a_generator_is_refused(acme: BudgetLedger) -> None:
    """When it is decorated, with what to write instead."""

    def steps() -> Iterator[int]:
        yield 1

    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    for function in (steps, asynchronous):
        with pytest.raises(TypeError, match=r"write `with budgets\.reserve"):
            budgets.reserve(10)(function)


def test_a_decorator_may_be_written_before_a_ledger_is_named(
    ledger: BudgetLedger, path: Path
) -> None:
    """A module is imported before the service is configured; a call without a ledger is refused."""
    budgets.use(None)

    @budgets.reserve(40, tenant="acme")
    def ask() -> int:
        return 1

    with pytest.raises(BudgetUnavailable, match="OTEL_PYTHON_METRICS_BUDGETS_DB"):
        ask()
    budgets.use(ledger)
    ask()
    budgets.use(None)

    assert entries(path) == [("acme", 40, None)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "no amount is given"),
        ({"tokens": -5}, "tokens=-5"),
        ({"tokens": 5, "time_limit_s": 0}, "time_limit_s: accepted are seconds up to 86400"),
        ({"tokens": 5, "time_limit_s": 10**6}, "time_limit_s: accepted are seconds up to 86400"),
        ({"tokens": 5, "time_limit_s": "60"}, "time_limit_s: accepted are seconds up to 86400"),
    ],
)
def test_a_reservation_that_is_none(
    ledger: BudgetLedger, arguments: dict[str, Any], said: str
) -> None:
    """It is said where it is written, and not at the first call."""
    with pytest.raises(ValueError, match=said):
        ledger.reserve(**arguments)


def test_one_reservation_is_one_block(acme: BudgetLedger) -> None:
    """To share it between threads would mix up what each came to."""
    shared = budgets.reserve(10, tenant="acme")
    with shared, pytest.raises(RuntimeError, match="for each block"):
        shared.__enter__()

    with shared:
        assert held(acme) == (10, 10)

"""The hub of the live picture: snapshots for many, at once and then in steps, the newest wins."""

import asyncio
import itertools
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from otel_metrics.sovereignty.live import Hub, Mailbox

SHORT_S = 0.02
NEVER_S = 3600.0


async def said(mailbox: Mailbox) -> dict[str, Any]:
    """Return the next message."""
    frame = await asyncio.wait_for(mailbox.take(), 10)
    message = json.loads(frame.text)
    assert isinstance(message, dict)
    return message


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def counting() -> Callable[[], Mapping[str, object]]:
    """Return a source that says how often it was asked."""
    asked = iter(range(1, 10**9))
    return lambda: {"asked": next(asked)}


async def test_who_joins_has_a_snapshot_at_once() -> None:
    """Not after the interval; it has an id, a stream and a time."""
    before = time.time()
    message = await said(Hub(lambda: {"cost_per_hour": 0.5}, interval_s=NEVER_S).join())

    assert list(message) == [
        *("type", "stream", "id", "timestamp", "timestamp_iso", "interval_s", "cost_per_hour")
    ]
    assert (message["type"], message["id"]) == ("sovereignty.snapshot", 1)
    assert before <= message["timestamp"] <= time.time()
    assert message["cost_per_hour"] == 0.5


async def test_snapshots_go_on_in_steps() -> None:
    """Each with the next id, in the same stream."""
    mailbox = Hub(counting(), interval_s=SHORT_S).join()
    messages = [await said(mailbox) for _ in range(3)]

    assert [each["id"] for each in messages] == [1, 2, 3]
    assert len({each["stream"] for each in messages}) == 1
    assert all(
        later["timestamp"] - earlier["timestamp"] > SHORT_S / 2
        for earlier, later in itertools.pairwise(messages)
    )


async def test_many_who_join_together_share_a_snapshot() -> None:
    """A storm of a hundred asks the store once or twice."""
    hub = Hub(counting(), interval_s=NEVER_S)
    messages = await asyncio.gather(*[said(hub.join()) for _ in range(100)])

    assert hub.watchers == 100
    assert {each["asked"] for each in messages} <= {1, 2}


async def test_what_is_not_taken_is_replaced_by_the_newest() -> None:
    """The gap shows in the ids, and is counted."""
    hub = Hub(counting(), interval_s=SHORT_S)
    mailbox = hub.join()
    first = await said(mailbox)
    await until(lambda: hub.replaced >= 3)
    hub.leave(mailbox)
    newest = await said(mailbox)

    assert newest["id"] >= first["id"] + 4
    assert newest["id"] == first["id"] + hub.replaced + 1


async def test_nobody_is_asked_while_nobody_watches() -> None:
    """The thread ends with the last watcher; another one begins with the next."""
    before = set(threading.enumerate())
    hub = Hub(counting(), interval_s=NEVER_S)
    mailbox = hub.join()
    await said(mailbox)
    hub.leave(mailbox)
    await until(lambda: set(threading.enumerate()) <= before)

    assert (await said(hub.join()))["type"] == "sovereignty.snapshot"
    assert len(set(threading.enumerate()) - before) == 1


async def test_a_source_that_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Watchers hear that there is nothing, the log why, once; then it goes on."""
    broken = threading.Event()
    broken.set()

    def source() -> Mapping[str, object]:
        if broken.is_set():
            raise OSError("the disk is gone")
        return {"cost_per_hour": 1.0}

    with caplog.at_level(logging.WARNING):
        mailbox = Hub(source, interval_s=SHORT_S).join()
        failed = [await said(mailbox) for _ in range(3)]
        broken.clear()
        while (message := await said(mailbox))["type"] == "sovereignty.unavailable":
            pass

    assert {each["type"] for each in failed} == {"sovereignty.unavailable"}
    assert failed[0]["reason"] == "the store cannot be read; the log says why"
    assert message["cost_per_hour"] == 1.0
    assert [record.getMessage() for record in caplog.records] == [
        "no snapshot of sovereignty: the disk is gone",
        "snapshots of sovereignty are taken again",
    ]


async def test_what_json_cannot_say_is_told_as_a_failure() -> None:
    """Not sent as `Infinity`, which clients cannot read; the next snapshots are sent."""
    costs = iter([float("inf")])
    mailbox = Hub(lambda: {"cost_per_hour": next(costs, 1.0)}, interval_s=SHORT_S).join()

    assert (await said(mailbox))["type"] == "sovereignty.unavailable"
    assert (await said(mailbox))["cost_per_hour"] == 1.0


async def test_a_forked_child_has_watchers_of_its_own() -> None:
    """It neither waits for its parent's lock nor speaks to its parent's watchers."""
    hub = Hub(counting(), interval_s=SHORT_S)
    await said(hub.join())
    child = os.fork()
    if child == 0:
        failed = True
        try:
            failed = asyncio.new_event_loop().run_until_complete(_of_child(hub)) != 1
        finally:
            os._exit(int(failed))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)

    assert status == 0


async def _of_child(hub: Hub) -> int:
    await said(hub.join())
    return hub.watchers

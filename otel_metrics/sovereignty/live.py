"""Hands one picture of sovereignty to many watchers: a snapshot every few seconds, the newest wins.

Nobody waits for a watcher. Each has a mailbox of one frame; what it did not take in time is
replaced by the newer one and counted, and the gap shows in the ids. Sockets are `web`'s.

Threads: one daemon thread a hub takes the snapshots, while there are watchers. `_lock` guards the
watchers, the newest frame and the counts; a mailbox's own lock guards its frame. `take` runs on the
watcher's event loop, everything else on any thread. A forked child begins without watchers.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = ["FRESH_S", "INTERVAL_S", "SNAPSHOT", "UNAVAILABLE", "Frame", "Hub", "Mailbox"]

INTERVAL_S: Final = 5.0
"""Time between two snapshots."""
FRESH_S: Final = 1.0
"""A snapshot that is no older is what a new watcher gets at once; so many joins cost one."""
SNAPSHOT: Final = "sovereignty.snapshot"
UNAVAILABLE: Final = "sovereignty.unavailable"

_logger = logging.getLogger("otel_metrics.sovereignty")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, as text: every watcher of a hub gets the same one."""

    id: int
    text: str


class Mailbox:
    """The newest frame that one watcher has not taken; made on the watcher's event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._there = asyncio.Event()
        self._lock = threading.Lock()
        self._frame: Frame | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody can take a frame any more."""
        return self._loop.is_closed()

    def put(self, frame: Frame) -> bool:
        """Leave a frame, on any thread; tell whether it replaces one that was not taken."""
        with self._lock:
            replaces = self._frame is not None
            self._frame = frame
        if not replaces:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody watches
                self._loop.call_soon_threadsafe(self._there.set)
        return replaces

    async def take(self) -> Frame:
        """Wait for a frame, and return the newest."""
        while True:
            await self._there.wait()
            with self._lock:
                self._there.clear()
                frame, self._frame = self._frame, None
            if frame is not None:
                return frame


class Hub:
    """Takes snapshots while somebody watches, and hands each to everybody.

    Args:
        source: returns what a snapshot says, as JSON has it. It may wait, as a database does; what
            it raises is told to the watchers and logged when it begins.
        interval_s: time between two snapshots; one is taken sooner for who joins.
    """

    _thread: threading.Thread | None
    _newest: Frame | None
    _taken_at: float

    def __init__(
        self, source: Callable[[], Mapping[str, object]], *, interval_s: float = INTERVAL_S
    ) -> None:
        self._source = source
        self._interval_s = interval_s
        self._failing = False
        self._begin_anew()

    def join(self) -> Mailbox:
        """Return a mailbox that gets a frame at once and every one from then on."""
        mailbox = Mailbox()
        with self._own_lock():
            self._mailboxes.add(mailbox)
            if self._newest is not None and time.monotonic() - self._taken_at < FRESH_S:
                mailbox.put(self._newest)
            else:
                self._wanted.set()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="otel-metrics-sovereignty-live", daemon=True
                )
                self._thread.start()
        return mailbox

    def leave(self, mailbox: Mailbox) -> None:
        """Hand a mailbox no more frames."""
        with self._own_lock():
            self._mailboxes.discard(mailbox)
            if not self._mailboxes:
                self._wanted.set()  # lets the thread see that nobody watches

    @property
    def watchers(self) -> int:
        """How many mailboxes get frames."""
        return len(self._mailboxes)

    @property
    def replaced(self) -> int:
        """How many frames were replaced by newer ones before their watchers took them."""
        return self._replaced

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._mailboxes: set[Mailbox] = set()
        self._thread = None
        self._stream = secrets.token_hex(8)
        self._id = self._replaced = 0
        self._newest = None
        self._taken_at = 0.0

    def _own_lock(self) -> threading.Lock:
        """Return the lock; in a forked child, forget what is the parent's first."""
        if self._pid != os.getpid():
            self._begin_anew()
        return self._lock

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._mailboxes:
                    self._thread = None
                    return
            said = self._said()
            with self._lock:
                self._wanted.clear()  # who has joined until now gets this one
                self._hand_out(said)
                behind_s = time.monotonic() - self._taken_at
            self._wanted.wait(max(0.0, self._interval_s - behind_s))

    def _said(self) -> dict[str, object]:
        """Ask the source; where it fails, say so instead."""
        try:
            said = {"type": SNAPSHOT, **self._source()}
            _as_json(said)  # what cannot be said is a failure, too
        except Exception as error:  # noqa: BLE001  # a disk's trouble must not end the thread
            if not self._failing:
                _logger.warning("no snapshot of sovereignty: %s", error)
            self._failing = True
            return {"type": UNAVAILABLE, "reason": "the store cannot be read; the log says why"}
        if self._failing:
            _logger.warning("snapshots of sovereignty are taken again")
        self._failing = False
        return said

    def _hand_out(self, said: Mapping[str, object]) -> None:
        self._id += 1
        now = time.time()
        about = {
            "stream": self._stream,
            "id": self._id,
            "timestamp": now,
            "timestamp_iso": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "interval_s": self._interval_s,
        }
        message = {"type": said["type"], **about, **said, **about}  # `about` is first, and wins
        text = _as_json(message)
        self._newest = Frame(self._id, text)
        self._taken_at = time.monotonic()
        self._mailboxes = {each for each in self._mailboxes if not each.is_abandoned}
        self._replaced += sum([mailbox.put(self._newest) for mailbox in self._mailboxes])


def _as_json(message: Mapping[str, object]) -> str:
    return json.dumps(message, ensure_ascii=False, allow_nan=False)

"""One log line when something goes down or up again, two a minute at most; one reminder every five
minutes.

What there is to say is collected under a writer's lock and said without it: a service's logging
handler may itself archive what is logged, and would wait for that lock while it is waited for.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

__all__ = ["News", "StateLog"]

REMINDER_S: Final = 300.0
LINES_MAX: Final = 2
LINES_S: Final = 60.0
"""So many lines of one subject in so many seconds."""
NEWS_MAX: Final = 100
"""Lines that wait to be told; the oldest go first where nobody tells them."""


class News:
    """Log lines that wait until no lock is held.

    Attributes:
        lines: level and text of each, in order; empty but for an instant.
    """

    __slots__ = ("_logger", "_telling", "lines")

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.begin_anew()

    def begin_anew(self) -> None:
        """Leave what there is to say to the parent: this is a forked child."""
        self.lines: deque[tuple[int, str]] = deque(maxlen=NEWS_MAX)
        self._telling = threading.Lock()

    def tell(self) -> None:
        """Log what there is to say; call this only while no lock is held. Never raises.

        One thread at a time does, so that the lines keep their order, and no other waits for it.
        """
        while self.lines and self._telling.acquire(blocking=False):
            try:
                if self.lines:  # another thread may have told it meanwhile
                    self._log(*self.lines.popleft())
            finally:
                self._telling.release()

    def _log(self, level: int, text: str) -> None:
        # A service's handler may raise anything, and there is nobody left to tell.
        with suppress(Exception):
            self._logger.log(level, "%s", text)


class StateLog:
    """Remembers whether something works, and has news when that changes. Never one per record.

    What changes all the time is told twice a minute: what it is by then.
    """

    def __init__(
        self, news: News, subject: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._news = news
        self._subject = subject
        self._monotonic = monotonic
        self._told: str | None = None
        self._told_s: deque[float] = deque(maxlen=LINES_MAX)

    def down(self, reason: str, detail: str) -> None:
        """Say that it does not work; there is no news while the same reason lasts."""
        now_s = self._monotonic()
        if reason == self._told and now_s - self._told_s[-1] < REMINDER_S:
            return
        if self._say(now_s, logging.ERROR, f"{reason}: {_printable(detail)}"):
            self._told = reason

    def up(self) -> None:
        """Say that it works."""
        if self._told is None:
            return
        if self._say(self._monotonic(), logging.WARNING, f"works again after {self._told}"):
            self._told = None

    def _say(self, now_s: float, level: int, text: str) -> bool:
        if len(self._told_s) == LINES_MAX and now_s - self._told_s[0] < LINES_S:
            return False
        self._told_s.append(now_s)
        self._news.lines.append((level, f"{self._subject}: {text}"))
        return True


def _printable(text: str) -> str:
    return "".join([char if char.isprintable() else f"\\x{ord(char):02x}" for char in text])

"""One log line when something goes down or up again, and one reminder every five minutes."""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["StateLog"]

REMINDER_S: Final = 300.0


class StateLog:
    """Remembers whether something works, and logs when that changes. Never logs per record."""

    def __init__(
        self,
        logger: logging.Logger,
        subject: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._subject = subject
        self._monotonic = monotonic
        self._reason: str | None = None
        self._told_s = 0.0

    def down(self, reason: str, detail: str) -> None:
        """Say that it does not work; nothing is logged while the same reason lasts."""
        now_s = self._monotonic()
        if reason == self._reason and now_s - self._told_s < REMINDER_S:
            return
        self._reason, self._told_s = reason, now_s
        self._logger.error("%s: %s: %s", self._subject, reason, _printable(detail))

    def up(self) -> None:
        """Say that it works."""
        if self._reason is not None:
            self._logger.warning("%s: works again after %s", self._subject, self._reason)
            self._reason = None


def _printable(text: str) -> str:
    return "".join([char if char.isprintable() else f"\\x{ord(char):02x}" for char in text])

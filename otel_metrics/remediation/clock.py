"""The ledger's time: what limits, approvals and verifications are measured by.

A wall clock that is set must free no limit. So time is carried on in the ledger: within one boot of
the machine it goes on by the clock that counts from the boot, which nobody sets and all processes
share; over a boot by the wall clock, and never back. Where the wall clock is wrong after a boot the
ledger's time is, too, until the next.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["SECOND_US", "Clock", "Now", "now_of"]

SECOND_US: Final = 1_000_000
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_NAMESPACE: Final = "/proc/self/ns/time"
_WRITE: Final = "INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?)"
_READ: Final = "SELECT time_us, boot, boot_us, wall_us FROM clock"


def _wall_us() -> int:
    return time.time_ns() // 1000


def _boot() -> tuple[str, int]:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            boot = file.read().strip()
        # In a time namespace of its own a container counts from another moment.
        counted = f"{boot} {os.readlink(_NAMESPACE)}" if os.path.lexists(_NAMESPACE) else boot
        return counted, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    except (OSError, AttributeError):  # no Linux: the wall clock alone, which never goes back here
        return "", 0


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from.

    Attributes:
        wall_us: Unix time.
        boot: the boot's id, and the time since; an empty id where the machine has none.
    """

    wall_us: Callable[[], int] = _wall_us
    boot: Callable[[], tuple[str, int]] = _boot


class Now(NamedTuple):
    """A moment, in microseconds: the ledger's time, and what the wall clock shows."""

    us: int
    wall_us: int


def now_of(connection: sqlite3.Connection, clock: Clock, *, keep: bool) -> Now:
    """Return the ledger's time; `keep` it where the transaction may write."""
    boot, boot_us = clock.boot()
    wall_us = clock.wall_us()
    known = connection.execute(_READ).fetchone()
    if known is None:
        us = wall_us
    elif boot and boot == known[1]:
        us = known[0] + max(0, boot_us - known[2])
    else:
        us = known[0] + max(0, wall_us - known[3])
    if keep:
        connection.execute(_WRITE, (us, boot, boot_us, wall_us))
    return Now(us, wall_us)

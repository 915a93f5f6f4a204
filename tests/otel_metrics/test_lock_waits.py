"""How long a lock is waited for: per file, and in bounded memory."""

import errno

import pytest

from otel_metrics.line_files import LOCK_WAIT_S, LockTimeoutError
from otel_metrics.lock_waits import HELD_MAX, HELD_WAIT_S, LockWaits


def wait_s(waits: LockWaits, path: str) -> float:
    """Return how long a file is waited for, whose lock is then had."""
    with waits.of(path) as seconds:
        return seconds


def time_out(waits: LockWaits, path: str) -> float:
    """Return how long a file is waited for, whose lock is then not had."""
    with pytest.raises(LockTimeoutError), waits.of(path) as seconds:
        raise LockTimeoutError(errno.EAGAIN, "locked by others", path)
    return seconds


def test_a_lock_that_was_not_had_is_hardly_waited_for_until_it_is() -> None:
    """Once it was had it is waited for as before."""
    waits = LockWaits()
    waited = [time_out(waits, "a"), time_out(waits, "a"), wait_s(waits, "a"), wait_s(waits, "a")]

    assert waited == [LOCK_WAIT_S, HELD_WAIT_S, HELD_WAIT_S, LOCK_WAIT_S]


def test_other_files_are_waited_for_as_ever() -> None:
    """And what becomes of them says nothing of the one that is held."""
    waits = LockWaits()
    time_out(waits, "a")

    assert wait_s(waits, "b") == LOCK_WAIT_S
    assert wait_s(waits, "a") == HELD_WAIT_S


def test_another_error_says_nothing_of_the_lock() -> None:
    """A full disk does not make a writer impatient, nor a patient one of who was not."""
    waits = LockWaits()
    time_out(waits, "a")
    for path in ("a", "b"):
        with pytest.raises(OSError, match="full"), waits.of(path):
            raise OSError(errno.ENOSPC, "full", path)

    assert [time_out(waits, "a"), time_out(waits, "b")] == [HELD_WAIT_S, LOCK_WAIT_S]


def test_of_more_files_than_are_remembered_all_are_forgotten() -> None:
    """A folder whose every file is held costs no memory without end."""
    waits = LockWaits()
    for number in range(HELD_MAX + 1):
        time_out(waits, str(number))

    assert time_out(waits, "0") == LOCK_WAIT_S
    assert time_out(waits, str(HELD_MAX)) == HELD_WAIT_S

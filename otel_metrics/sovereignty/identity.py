"""Gives every event of this process an identity: a random writer id, and a number that counts up.

By it a store knows an event that it has, whether it comes from a call or from an archive. A forked
child is a writer of its own.

Threads: any; the count is one step of the interpreter's.
"""

import itertools
import os
import re
import secrets
from typing import Final

__all__ = ["NUMBER_MAX", "new_id", "parsed"]

NUMBER_MAX: Final = 2**63 - 1
WRITER_BYTES: Final = 8

_ID = re.compile(r"([0-9a-f]{16})-([1-9][0-9]{0,18})", re.ASCII)


class _Writer:
    """Who this process is, and how many events it has named."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as another writer."""
        self.name = _half() + _half()
        self.numbers = itertools.count(1)


def _half() -> str:
    # With a letter at its end: more digits in a row, the number's included, may look like a
    # card's, and that is masked wherever it stands.
    return secrets.token_hex(WRITER_BYTES // 2)[:-1] + secrets.choice("abcdef")


_writer: Final = _Writer()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_writer.renew)


def new_id() -> str:
    """Return an identity that no event has had."""
    return f"{_writer.name}-{next(_writer.numbers)}"


def parsed(text: object) -> tuple[str, int] | None:
    """Return the writer and the number of an identity; None where it is none."""
    match = _ID.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[2]) > NUMBER_MAX:
        return None
    return match[1], int(match[2])

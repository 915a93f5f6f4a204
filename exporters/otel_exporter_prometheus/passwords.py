"""Users and their bcrypt hashes, and whether a password is a user's.

A hash takes 50 ms and more of a core on purpose, so one is computed at a time, and a password that
was right is remembered under a keyed hash that says nothing of it. bcrypt lets go of the GIL
meanwhile.

Threads: any thread asks. `_hashing` is held by the one that computes; `_lock` guards `_known`.
"""

import base64
import binascii
import hmac
import importlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Protocol, cast

from otel_exporter_prometheus.errors import SettingError

__all__ = ["COST_MAX", "COST_MIN", "KNOWN_MAX", "BusyError", "Passwords", "parse_users"]

COST_MIN: Final = 10
"""The least cost of a hash: below, guessing is cheap."""
COST_MAX: Final = 15
"""The most: 1.6 s for one password."""
KNOWN_MAX: Final = 100
"""So many right passwords are remembered."""
WAIT_S: Final = 2.0
"""A password waits this long for its turn."""
PASSWORD_BYTES_MAX: Final = 72
"""bcrypt reads no more, so that a longer one would be as good as its beginning."""

_HASH: Final = re.compile(rb"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_INSTALL: Final = "needs bcrypt; pip install 'otel-metrics[auth]'"


class BusyError(Exception):
    """Too many passwords wait to be checked."""


class _Bcrypt(Protocol):
    def checkpw(self, password: bytes, hashed_password: bytes) -> bool: ...


def parse_users(content: bytes) -> dict[bytes, bytes]:
    """Read `user:hash` lines; empty lines and lines that begin with `#` say nothing.

    Raises:
        ValueError: a line is wrong, or there is none. The message quotes nothing.
    """
    users: dict[bytes, bytes] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        user, colon, hashed = text.partition(b":")
        found = _HASH.fullmatch(hashed)
        if not user or not colon or found is None:
            raise ValueError(
                f"line {number} is not user:hash with a bcrypt hash; "
                "make one with `htpasswd -nBC 12 USER`"
            )
        if not COST_MIN <= int(found[1]) <= COST_MAX:
            raise ValueError(
                f"line {number}: the hash has cost {int(found[1])}; accepted are "
                f"{COST_MIN} to {COST_MAX}, as in `htpasswd -nBC 12 USER`"
            )
        if user in users:
            raise ValueError(f"line {number}: this user is there twice; remove one")
        users[user] = hashed
    if not users:
        raise ValueError("holds no user; write user:hash lines, as `htpasswd -nBC 12 USER` does")
    return users


def decode(credentials: str) -> tuple[bytes, bytes] | None:
    """Return the user and password of a Basic header, None when it is none."""
    try:
        decoded = base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password) if colon else None


class Passwords:
    """Tells right passwords from wrong ones.

    Args:
        variable: what names the file of users, for the message.

    Raises:
        SettingError: bcrypt is not installed.
    """

    def __init__(self, variable: str, path: str) -> None:
        try:
            # An extra of the distribution, loaded where it is asked for.
            self._bcrypt = cast("_Bcrypt", importlib.import_module("bcrypt"))
        except ImportError as error:
            raise SettingError(f"{variable}={path}: {_INSTALL}") from error
        self._key = secrets.token_bytes(32)
        self._hashing = threading.Lock()
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def holds(self, users: Mapping[bytes, bytes], user: bytes, password: bytes) -> bool:
        """Say whether `password` is `user`'s. It takes as long for a user whom nobody knows.

        Raises:
            BusyError: others have their passwords checked.
        """
        hashed = users.get(user)
        possible = hashed is not None and len(password) <= PASSWORD_BYTES_MAX
        if hashed is None or not possible:
            hashed = _dummy(users)
        mark = self._mark(user, hashed, password)
        with self._lock:
            if possible and mark in self._known:
                self._known.move_to_end(mark)
                return True
        right = self._hash(password[:PASSWORD_BYTES_MAX], hashed) and possible
        if right:
            with self._lock:
                self._known[mark] = None
                while len(self._known) > KNOWN_MAX:
                    self._known.popitem(last=False)
        return right

    @property
    def remembered(self) -> int:
        """How many right passwords are remembered."""
        return len(self._known)

    def _hash(self, password: bytes, hashed: bytes) -> bool:
        if not self._hashing.acquire(timeout=WAIT_S):
            raise BusyError
        try:
            return self._bcrypt.checkpw(password, hashed)
        except ValueError:  # of bcrypt: a password that it does not take, such as one with a NUL
            return False
        finally:
            self._hashing.release()

    def _mark(self, *parts: bytes) -> bytes:
        text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, text, "sha256")


def _dummy(users: Mapping[bytes, bytes]) -> bytes:
    """Return a hash of nobody's password that costs as much as the dearest of the users'."""
    cost = max((hashed[4:6] for hashed in users.values()), default=b"%d" % COST_MIN)
    return b"$2b$" + cost + b"$" + b"." * 53

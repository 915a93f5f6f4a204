"""Whether a request says who asks: a bearer token or a user's password, from files.

Whatever is wrong with it, the answer is the same, so that nobody learns how near a guess was.
Threads: any thread asks; what is shared has locks of its own.
"""

import hmac
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from otel_exporter_prometheus.passwords import BusyError, Passwords, decode, parse_users
from otel_exporter_prometheus.privatefile import PrivateFile
from otel_exporter_prometheus.protocol import Answer, Request, plain
from otel_exporter_prometheus.settings import (
    OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE,
    OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE,
)
from otel_exporter_prometheus.throttle import Throttle

__all__ = ["REALM", "TOKEN_CHARACTERS_MIN", "Authenticator", "parse_tokens"]

TOKEN_CHARACTERS_MIN: Final = 16
"""A shorter token can be guessed."""
REALM: Final = 'realm="metrics"'
"""In every challenge of ours."""


def parse_tokens(content: bytes) -> tuple[bytes, ...]:
    """Read a token a line; empty lines say nothing.

    Raises:
        ValueError: a token is too short or none, or there is none. The message quotes nothing.
    """
    tokens = []
    for number, line in enumerate(content.splitlines(), start=1):
        token = line.strip()
        if not token:
            continue
        if len(token) < TOKEN_CHARACTERS_MIN:
            raise ValueError(
                f"the token in line {number} is shorter than {TOKEN_CHARACTERS_MIN} characters; "
                "make one with `openssl rand -hex 32`"
            )
        if not all(0x21 <= byte <= 0x7E for byte in token):
            raise ValueError(
                f"the token in line {number} holds what no header can; use letters and digits"
            )
        tokens.append(token)
    if not tokens:
        raise ValueError("holds no token; make one with `openssl rand -hex 32`")
    return tuple(tokens)


class Authenticator:
    """Lets in who presents a token of one file or a password of the other; either is enough.

    Args:
        bearer_token_file, basic_auth_file: the files; both are read anew when they change.
        count: is told each failure's kind, and never whose it was.

    Raises:
        SettingError: a file cannot be used.
    """

    def __init__(
        self,
        *,
        bearer_token_file: str | None,
        basic_auth_file: str | None,
        count: Callable[[str], None],
    ) -> None:
        self._count = count
        self._throttle = Throttle()
        self._tokens: PrivateFile[tuple[bytes, ...]] | None = None
        self._users: PrivateFile[dict[bytes, bytes]] | None = None
        challenges = []
        if bearer_token_file is not None:
            variable = OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE
            self._tokens = PrivateFile(bearer_token_file, variable, parse_tokens)
            challenges.append(("WWW-Authenticate", f"Bearer {REALM}"))
        if basic_auth_file is not None:
            variable = OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE
            self._users = PrivateFile(basic_auth_file, variable, parse_users)
            self._passwords = Passwords(variable, basic_auth_file)
            challenges.append(("WWW-Authenticate", f'Basic {REALM}, charset="UTF-8"'))
        self._unauthorized = plain(401, "This page needs authentication.", *challenges)

    def refusal(self, request: Request) -> Answer | None:
        """Return what refuses a request, or None when it says who asks. May take long: bcrypt."""
        now = time.monotonic()
        wait_s = self._throttle.wait_s(request.peer, now)
        if wait_s > 0:
            self._count("throttled")
            again = ("Retry-After", str(math.ceil(wait_s)))
            return plain(429, "Too many failures to authenticate; wait a minute.", again)
        try:
            if self._accepts(request.headers):
                return None
        except BusyError:
            self._count("refused")
            return plain(503, "Too many passwords to check at once; try again.")
        self._throttle.note(request.peer, now)
        self._count("auth")
        return self._unauthorized

    def still_holds(self, request: Request) -> bool:
        """Tell of a request that was let in whether it would be again; nothing is counted, and
        its peer's failures do not matter. May take long: bcrypt."""
        try:
            return self._accepts(request.headers)
        except BusyError:
            return True  # asked again later

    def _accepts(self, headers: Mapping[str, Sequence[str]]) -> bool:
        given = headers.get("authorization", ())
        if len(given) != 1:
            return False
        scheme, _, credentials = given[0].partition(" ")
        credentials = credentials.strip(" ")
        match scheme.lower():
            case "bearer":
                return self._is_token(credentials.encode("latin-1", "replace"))
            case "basic":
                return self._is_password(credentials)
            case _:
                return False

    def _is_token(self, given: bytes) -> bool:
        tokens = () if self._tokens is None else self._tokens.value() or ()
        # All are compared, so that the time does not tell which one was near.
        return sum(hmac.compare_digest(given, token) for token in tokens) > 0

    def _is_password(self, credentials: str) -> bool:
        users = None if self._users is None else self._users.value()
        pair = decode(credentials)
        if users is None or pair is None:
            return False
        return self._passwords.holds(users, *pair)

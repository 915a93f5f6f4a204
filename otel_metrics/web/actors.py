"""Who may ask for what on the routes that change something: a file of named tokens.

A line is `name:role:token`. What is done through a route is done in the name of the token that
came with it, and the audit says so. Threads: any thread asks; what is shared has locks of its own.
"""

import hmac
import logging
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from otel_exporter_prometheus.auth import TOKEN_CHARACTERS_MIN
from otel_exporter_prometheus.errors import SettingError
from otel_exporter_prometheus.privatefile import PrivateFile
from otel_exporter_prometheus.protocol import Answer, Request
from otel_exporter_prometheus.throttle import Throttle
from otel_metrics.autoconfig.settings import from_environ
from otel_metrics.remediation.actors import is_reserved
from otel_metrics.web.failures import count_failure
from otel_metrics.web.replies import problem

__all__ = ["ACTORS_MAX", "VARIABLE", "Actor", "Actors", "Closed", "Permission", "actors", "parse"]

VARIABLE: Final = "OTEL_PYTHON_METRICS_ACTORS_FILE"
"""Names the file."""
ACTORS_MAX: Final = 1_000
"""A file with more lines is a mistake; each is compared with what was given."""

Role = Literal["read", "alert", "approve", "admin"]
Permission = Literal["read", "alert", "approve"]
"""What a route needs: to look, to report an alert, to ask for a playbook and decide about it."""

_ROLES: Final = get_args(Role)
_MAY: Final[Mapping[Role, frozenset[Permission]]] = {
    "read": frozenset({"read"}),
    "alert": frozenset({"alert"}),
    "approve": frozenset({"read", "approve"}),
    "admin": frozenset({"read", "alert", "approve"}),
}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_MAKE_ONE: Final = "make one with `openssl rand -hex 32`"
_UNAUTHORIZED: Final = problem(
    401,
    "the token is missing or wrong; send `Authorization: Bearer TOKEN`",
    ("WWW-Authenticate", 'Bearer realm="governance"'),
)
_CLOSED: Final = problem(503, "this route is closed; the service's log says why")

_logger = logging.getLogger("otel_metrics.web")


@dataclass(frozen=True, slots=True)
class Actor:
    """Whose token came with a request."""

    name: str
    role: Role

    def may(self, permission: Permission) -> bool:
        """Say whether the role is enough."""
        return permission in _MAY[self.role]


def parse(content: bytes) -> Mapping[bytes, Actor]:
    """Read the actors of a file by their tokens; empty lines and those that begin with # say
    nothing.

    A name may stand in several lines, with a token each and one role, so that tokens can be
    changed.

    Raises:
        ValueError: a line is wrong, or there is none. The message quotes no token.
    """
    found: dict[bytes, Actor] = {}
    by_name: dict[str, tuple[Actor, int]] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        actor, token = _line(line.strip(), number)
        first, where = by_name.setdefault(actor.name.lower(), (actor, number))
        if first != actor:
            raise ValueError(
                f"line {number} names {actor.name}, and line {where} has {first.name} with role "
                f"{first.role}; give a name one spelling and one role"
            )
        if token in found:
            raise ValueError(f"line {number} has a token that another line has; {_MAKE_ONE}")
        found[token] = actor
        if len(found) > ACTORS_MAX:
            raise ValueError(f"has more than {ACTORS_MAX:,} tokens; remove what is not used")
    if not found:
        raise ValueError("names nobody; write a line name:role:token")
    return found


class Actors:
    """Tells whose token came with a request.

    Args:
        path: the file; it is read anew when it changes.
        setting: what names it, for messages.

    Raises:
        SettingError: the file cannot be used.
    """

    def __init__(self, path: str, setting: str = VARIABLE) -> None:
        self._file = PrivateFile(path, setting, parse)
        self._throttle = Throttle()

    def who(self, request: Request) -> Actor | Answer:
        """Return who asks, or what refuses a request that does not say so. Reads a file where it
        has changed."""
        now = time.monotonic()
        wait_s = self._throttle.wait_s(request.peer, now)
        if wait_s > 0:
            count_failure("throttled")
            again = ("Retry-After", str(math.ceil(wait_s)))
            return problem(429, "too many wrong tokens; wait a minute", again)
        actor = self._of(request.headers.get("authorization", ()))
        if actor is not None:
            return actor
        self._throttle.note(request.peer, now)
        count_failure("auth")
        return _UNAUTHORIZED

    def _of(self, authorizations: Sequence[str]) -> Actor | None:
        if len(authorizations) != 1:
            return None
        scheme, _, credentials = authorizations[0].partition(" ")
        given = credentials.strip(" ").encode("latin-1", "replace")
        if scheme.lower() != "bearer":
            return None
        # All are compared, so that the time does not tell which one was near.
        held = (self._file.value() or {}).items()
        found = [actor for token, actor in held if hmac.compare_digest(given, token)]
        return found[0] if found else None


class Closed:
    """Stands for `Actors` where their file cannot be used: nobody is let in."""

    def who(self, request: Request) -> Actor | Answer:
        """Refuse."""
        del request
        return _CLOSED


def actors(given: str | os.PathLike[str] | None) -> Actors | Closed | None:
    """Return who may ask, by the file that is given or that the variable names; None where there
    is none.

    Raises:
        SettingError: the given file cannot be used. One that the variable names closes the
            routes, with one line in the log.
    """
    if given is not None:
        return Actors(os.path.expanduser(os.fspath(given)), "actors_file")
    settings, _ = from_environ(os.environ)
    if settings.actors_file is None:
        return None
    try:
        return Actors(settings.actors_file)
    except SettingError as error:
        _logger.error("%s; routes that need a token of it stay closed", error)
        return Closed()


def _line(line: bytes, number: int) -> tuple[Actor, bytes]:
    name, colon, rest = line.partition(b":")
    role, second, token = rest.partition(b":")
    if not colon or not second:
        raise ValueError(f"line {number} is not name:role:token; write all three")
    if not _NAME.fullmatch(written := name.decode("latin-1")) or is_reserved(written):
        raise ValueError(
            f"line {number} begins with no name that an actor can have; use up to 64 letters, "
            "digits and ._@+-"
        )
    known = next((each for each in _ROLES if each.encode() == role), None)
    if known is None:
        raise ValueError(f"line {number} has no role after the name; give {', '.join(_ROLES)}")
    if len(token) < TOKEN_CHARACTERS_MIN:
        raise ValueError(
            f"the token in line {number} is shorter than {TOKEN_CHARACTERS_MIN} characters; "
            f"{_MAKE_ONE}"
        )
    if not all(0x21 <= byte <= 0x7E for byte in token):
        raise ValueError(
            f"the token in line {number} holds what no header can; use letters and digits"
        )
    return Actor(written, known), token

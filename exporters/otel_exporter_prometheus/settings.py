"""The page's settings: `Mapping[str, str]` -> frozen `Settings`, and what was wrong on the way.

Pure: the environment is handed in. A bad value is a `Problem` and its default is used, except where
the default would be less safe than what was asked for: then the settings carry a `refusal`, and the
page stays closed.
"""

import dataclasses
import difflib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_exporter_prometheus.errors import SettingError

__all__ = [
    "OTEL_EXPORTER_PROMETHEUS_ALLOW_UNAUTHENTICATED",
    "OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE",
    "OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE",
    "OTEL_EXPORTER_PROMETHEUS_HOST",
    "OTEL_EXPORTER_PROMETHEUS_PORT",
    "OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE",
    "OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE",
    "VARIABLES",
    "Problem",
    "Settings",
    "Variable",
    "from_arguments",
    "from_environ",
    "is_loopback",
    "is_loopback_address",
]

OTEL_EXPORTER_PROMETHEUS_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
"""The address that the page listens on. Default `localhost`: 127.0.0.1 and, where there, ::1."""
OTEL_EXPORTER_PROMETHEUS_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
"""The port that the page listens on; 0 takes a free one. Default `9464`."""
OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE: Final = "OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE"  # noqa: S105  # the name of a variable
"""A file of tokens, one a line, of which a scraper must present one. Default none."""
OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE: Final = "OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE"
"""A file of `user:hash` lines, of which a scraper must present one. Default none."""
OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE: Final = "OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE"
"""The certificate with which the page speaks HTTPS. Default none: HTTP."""
OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE: Final = "OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE"
"""The certificate's key."""
OTEL_EXPORTER_PROMETHEUS_ALLOW_UNAUTHENTICATED: Final = (
    "OTEL_EXPORTER_PROMETHEUS_ALLOW_UNAUTHENTICATED"
)
"""Whether the page may be opened beyond this machine without authentication. Default `false`."""

_PREFIX: Final = "OTEL_EXPORTER_PROMETHEUS_"
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_USUAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the page listens and who may read it.

    A page of which `refusal` is not None
    must not be opened; it says why.
    """

    host: str = "localhost"
    port: int = 9464
    bearer_token_file: str | None = None
    basic_auth_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    allow_unauthenticated: bool = False

    @property
    def authenticated(self) -> bool:
        """Whether a reader must say who it is."""
        return self.bearer_token_file is not None or self.basic_auth_file is not None

    @property
    def refusal(self) -> str | None:
        """Why the page must stay closed, with what to do, or None. `access.problem` also looks into
        the files."""
        problem = _refusal(self)
        return None if problem is None else str(problem)


@dataclass(frozen=True, slots=True)
class Problem:
    """A variable that cannot be used as it is.

    `message` says what is accepted and what is used instead.
    """

    variable: str
    value: str
    message: str

    def __str__(self) -> str:
        return f"{self.variable}={self.value}: {self.message}"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable, as the reference page shows it."""

    name: str
    default: str
    meaning: str
    field: str
    parse: Callable[[str], object]


def from_environ(environ: Mapping[str, str]) -> tuple[Settings, tuple[Problem, ...]]:
    """Read every `OTEL_EXPORTER_PROMETHEUS_*` variable; empty means unset. Never raises."""
    values: dict[str, object] = {}
    problems = [*_unknown(environ)]
    for variable in VARIABLES:
        text = environ.get(variable.name, "").strip()
        if not text:
            continue
        try:
            values[variable.field] = variable.parse(text)
        except ValueError as error:
            problems.append(
                Problem(variable.name, text, f"{error}; {variable.default} is used instead")
            )
    settings = dataclasses.replace(Settings(), **values)  # type: ignore[arg-type] # by each parser
    refusal = _refusal(settings)
    return settings, (*problems, refusal) if refusal else tuple(problems)


def from_arguments(settings: Settings, arguments: Mapping[str, object]) -> Settings:
    """Return `settings` with the arguments that are not None; raise `SettingError` for a bad one.

    A value may be what YAML gives: a number, a boolean or text.
    """
    values: dict[str, object] = {}
    for variable in VARIABLES:
        given = arguments.get(variable.field)
        if given is None:
            continue
        text = str(given).lower() if isinstance(given, bool) else str(given)
        try:
            values[variable.field] = variable.parse(text)
        except ValueError as error:
            raise SettingError(f"{variable.field}={text}: {error}") from None
    changed = dataclasses.replace(settings, **values)  # type: ignore[arg-type] # by each parser
    refusal = _refusal(changed)
    if refusal is not None and any(
        variable.name == refusal.variable and variable.field in values for variable in VARIABLES
    ):
        raise SettingError(str(refusal))
    return changed


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a page on `host`; a name other than localhost is not
    looked up and counts as reachable."""
    return host.lower() == "localhost" or is_loopback_address(host)


def is_loopback_address(text: str) -> bool:
    """Say whether a text is an address of this machine's own; a name is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_loopback


def _refusal(settings: Settings) -> Problem | None:
    for name, value, other, other_value in _tls_files(settings):
        if value is not None and other_value is None:
            return Problem(name, value, f"{other} is missing; set both, or neither")
    if is_loopback(settings.host) or settings.authenticated or settings.allow_unauthenticated:
        return None
    near = difflib.get_close_matches(settings.host, _USUAL_HOSTS, n=1, cutoff=0.7)
    hint = f" (did you mean {near[0]}?)" if near and near[0] != settings.host else ""
    return Problem(
        OTEL_EXPORTER_PROMETHEUS_HOST,
        settings.host,
        f"others than this machine would read the page without authentication{hint}; the page "
        f"stays closed. Use localhost, or set {OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE}, or "
        f"{OTEL_EXPORTER_PROMETHEUS_ALLOW_UNAUTHENTICATED}=true where a network that you trust "
        "is enough",
    )


def _tls_files(settings: Settings) -> list[tuple[str, str | None, str, str | None]]:
    cert = (OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE, settings.tls_cert_file)
    key = (OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE, settings.tls_key_file)
    return [(*cert, *key), (*key, *cert)]


def _unknown(environ: Mapping[str, str]) -> list[Problem]:
    known = [variable.name for variable in VARIABLES]
    problems = []
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            # What a misspelt variable holds may be a secret, and a problem is logged.
            problems.append(Problem(name, "***", f"no such variable; {hint}"))
    return problems


def _host(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if not host or any(character in "/@ \0" or character < " " for character in host):
        raise ValueError("accepted is a host name or an address, without scheme, port or path")
    if host.count(":") == 1:
        raise ValueError("accepted is a host name or an address; the port has its own setting")
    return host


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        raise ValueError("accepted are 0 (any free port) to 65535")
    return int(text)


def _path(text: str) -> str:
    return text


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in _TRUE | _FALSE:
        return lowered in _TRUE
    near = difflib.get_close_matches(lowered, ("true", "false"), n=1)
    raise ValueError("accepted are true and false" + (f", did you mean {near[0]}?" if near else ""))


VARIABLES: Final = (
    Variable(
        OTEL_EXPORTER_PROMETHEUS_HOST,
        "localhost",
        "The address that the page listens on; localhost is 127.0.0.1 and, where there, ::1.",
        "host",
        _host,
    ),
    Variable(
        OTEL_EXPORTER_PROMETHEUS_PORT,
        "9464",
        "The port that the page listens on; 0 takes a free one.",
        "port",
        _port,
    ),
    Variable(
        OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE,
        "none",
        "A file of tokens, one a line and at least 16 characters long, mode 0600: a reader must "
        "present one. Read anew when it changes. A file that cannot be used closes the page.",
        "bearer_token_file",
        _path,
    ),
    Variable(
        OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE,
        "none",
        "A file of `user:hash` lines with bcrypt hashes, mode 0600: a reader must present a user "
        "and password. Needs the extra `auth`. Where both files are set, either is enough.",
        "basic_auth_file",
        _path,
    ),
    Variable(
        OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE,
        "none",
        "The certificate, in PEM, with which the page speaks HTTPS. Read anew when it changes.",
        "tls_cert_file",
        _path,
    ),
    Variable(
        OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE,
        "none",
        "The certificate's key, in PEM and without a passphrase, mode 0600.",
        "tls_key_file",
        _path,
    ),
    Variable(
        OTEL_EXPORTER_PROMETHEUS_ALLOW_UNAUTHENTICATED,
        "false",
        "Whether the page may be opened beyond this machine without authentication.",
        "allow_unauthenticated",
        _boolean,
    ),
)
"""Every variable of this package, in the order of the reference page."""

"""Single values of OTLP settings, from text: endpoints, headers, times. Pure.

A message of a `ValueError` raised here says what is accepted, and holds no part of a secret.
"""

import base64
import difflib
import re
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

__all__ = [
    "MASK",
    "PORT_DEFAULTS",
    "TIMEOUT_MAX_S",
    "Dialled",
    "Headers",
    "Protocol",
    "Secret",
    "parse_boolean",
    "parse_choice",
    "parse_endpoint",
    "parse_header",
    "parse_headers",
    "parse_path",
    "parse_seconds",
    "without_secrets",
]

Protocol = Literal["grpc", "http/protobuf"]
Word = TypeVar("Word", bound=str)

MASK: Final = "***"
TIMEOUT_MAX_S: Final = 86_400.0
PORT_DEFAULTS: Final = {"http": 80, "https": 443}

_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0}
_QUANTITY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]*)", re.ASCII)

# As upstream's `opentelemetry.util.re`, whose own parser logs the whole header when it is wrong.
_RAW_HEADER_NAME = re.compile(
    r"[\x21\x23-\x27\x2a\x2b\x2d\x2e\x30-\x39\x41-\x5a\x5e-\x7a\x7c\x7e]+"
)
_HEADER_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_LIBERAL_HEADER_VALUE = re.compile(r"[\x20\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_SENDABLE = re.compile(r"[\x20-\x7e]*")

Headers = tuple[tuple[str, "Secret"], ...]


class Secret:
    """Text that no `repr`, format or log line shows; `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Dialled(NamedTuple):
    """An endpoint taken apart: without its user and password, which become a header."""

    endpoint: str
    scheme: str
    authorization: Secret | None

    def is_insecure(self, protocol: Protocol, *, asked: bool | None) -> bool:
        """Tell whether the connection is made without TLS; only gRPC may be asked to."""
        if protocol != "grpc" or self.scheme == "https" or asked is None:
            return self.scheme == "http"
        return asked

    def authorized(self, headers: Headers) -> Headers:
        """Return the headers with what the endpoint's user and password say."""
        if self.authorization is None or any(name == "authorization" for name, _ in headers):
            return headers
        return (*headers, ("authorization", self.authorization))


def parse_endpoint(text: str, protocol: Protocol) -> Dialled:
    """Take an endpoint apart, as upstream does for its protocol."""
    if not text.isprintable() or " " in text:
        raise ValueError("an address holds no spaces or control characters")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("no address: the port must be a number up to 65535") from None
    if protocol == "grpc":
        if not url.netloc:
            return _target(text)
        near = difflib.get_close_matches(url.scheme, ("http", "https"), n=1, cutoff=0.75)
        if near and url.scheme != near[0]:
            raise ValueError(f"no address: did you mean {near[0]}://?")
    elif url.scheme not in PORT_DEFAULTS:
        raise ValueError("accepted are URLs that begin with http:// or https://")
    if not url.hostname or port == 0:
        raise ValueError("no address: host or port is missing")
    user, _, location = url.netloc.rpartition("@")
    plain = url._replace(netloc=location, fragment="").geturl()
    if not user:
        return Dialled(plain, url.scheme, None)
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}"
    basic = base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii")
    return Dialled(plain, url.scheme, Secret(f"Basic {basic}"))


def _target(text: str) -> Dialled:
    """Take a target of gRPC's own: `host:port`, `unix:///path`, `dns:///host:port`."""
    if "@" in text:
        raise ValueError("a target without http:// or https:// holds no user and password")
    return Dialled(text, "", None)


def parse_headers(text: str) -> tuple[Headers, tuple[str, ...]]:
    """Return the headers of `name=value,name=value`, and what is wrong with the others."""
    parsed: dict[str, Secret] = {}
    wrong: list[str] = []
    for position, item in enumerate(re.split(r"[ \t]*,[ \t]*", text), start=1):
        if not item.strip():
            continue
        name, separator, value = item.strip().partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not _RAW_HEADER_NAME.fullmatch(name):
            separator = ""
        elif _HEADER_VALUE.fullmatch(value):
            name, value = unquote(name).strip(), unquote(value).strip()
        elif not _LIBERAL_HEADER_VALUE.fullmatch(value):
            separator = ""
        try:
            if not separator:
                raise ValueError("is no name=value in URL encoding")
            name, secret = parse_header(name, value)
        except ValueError as error:
            wrong.append(f"header {position} {error}")
        else:
            parsed[name] = secret
    return tuple(parsed.items()), tuple(wrong)


def parse_header(name: str, value: str) -> tuple[str, Secret]:
    """Return one header as it is sent; its name in lower case, as gRPC demands."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("has a name that cannot be sent")
    if not _HEADER_SENDABLE.fullmatch(value):
        raise ValueError(f"({name}) has a value that is not printable ASCII")
    return name.lower(), Secret(value)


def parse_choice(accepted: tuple[Word, ...]) -> Callable[[str], Word]:
    """Return a parser of one of these words, in any case."""

    def parse(text: str) -> Word:
        for word in accepted:
            if text.lower() == word:
                return word
        near = difflib.get_close_matches(text.lower(), accepted, n=1, cutoff=0.4)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"accepted: {', '.join(accepted)}{hint}")

    return parse


def parse_seconds(text: str) -> float:
    """Return a time in seconds; a number without a unit is seconds."""
    match = _QUANTITY.fullmatch(text.lower())
    if match is None or match[2] not in _SECONDS:
        raise ValueError("accepted are seconds, such as 10, or a time such as 500ms")
    parsed = float(match[1]) * _SECONDS[match[2]]
    if not 0 < parsed <= TIMEOUT_MAX_S:
        raise ValueError("accepted is a time above zero, up to a day; a number is seconds")
    return parsed


def parse_boolean(text: str) -> bool | None:
    """Return what `true` and `false` mean."""
    return parse_choice(("true", "false"))(text) == "true"


def parse_path(text: str) -> str | None:
    """Return the name of a file, which is not opened here."""
    if "\0" in text:
        raise ValueError("a path holds no NUL")
    return text


def without_secrets(text: str) -> str:
    """Return an endpoint without user, password and query; other text as it is."""
    return re.sub(r"(?:^|(?<=//))[^/]*@", f"{MASK}@", text).partition("?")[0]

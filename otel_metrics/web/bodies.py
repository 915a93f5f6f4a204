"""Bodies of requests: read within a bound, and as strict JSON of a known shape.

`read` waits for what a client sends, on the event loop; the rest is pure.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec
from starlette.types import Receive

from otel_exporter_prometheus.protocol import JSON, Request

__all__ = ["WAIT_S", "BodyError", "GoneError", "parse", "read"]

WAIT_S: Final = 10.0
"""A client has so long to send a body."""
_WORDS: Final = {
    "Object contains unknown field": "it has the unknown field",
    "Object missing required field": "it misses the field",
}

_NO_CHOICE: Final = "Invalid enum value"

T = TypeVar("T")


class BodyError(Exception):
    """A body is refused; the message is for who sent it.

    Attributes:
        status: HTTP's.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GoneError(Exception):
    """The client has left."""


async def read(
    request: Request, receive: Receive, *, bytes_max: int, wait_s: float = WAIT_S
) -> bytes:
    """Return the body of a request, for which is waited so long.

    Raises:
        BodyError: it is not JSON by its header, is too long, or takes too long.
        GoneError: nobody waits for an answer.
    """
    kinds = request.headers.get("content-type", ())
    # Nothing else is taken: a page of another site can send a form without asking first.
    if len(kinds) != 1 or kinds[0].partition(";")[0].strip(" \t").lower() != JSON:
        raise BodyError(415, f"send JSON, with `Content-Type: {JSON}`")
    too_long = BodyError(413, f"the body is longer than {bytes_max:,} bytes; send less at once")
    lengths = request.headers.get("content-length", ())
    # As ASCII: "²" is a digit, too, and no number.
    if any(not (each.isascii() and each.isdigit()) for each in lengths) or any(
        int(each[:20]) > bytes_max for each in lengths
    ):
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(wait_s):
            async for part in _parts(receive):
                body += part
                if len(body) > bytes_max:
                    raise too_long
    except TimeoutError:
        raise BodyError(408, f"the body did not come within {wait_s:g} s") from None
    return bytes(body)


def parse(body: bytes, shape: type[T]) -> T:
    """Return a body as a `shape`: a msgspec struct, which says whether unknown keys are refused.

    Strict where JSON's readers are lax: no key twice, no NaN, no half of a surrogate pair.

    Raises:
        BodyError: it is not.
    """
    try:
        text = body.decode()
        found = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_number)
        _check_text(found)
        return msgspec.convert(found, shape, strict=True)
    except UnicodeError:
        raise BodyError(400, "the body holds what is no UTF-8; send JSON in UTF-8") from None
    except RecursionError:
        raise BodyError(400, "the body is nested too deep") from None
    except msgspec.ValidationError as error:
        raise BodyError(
            400, f"the body is not as it must be: {_in_our_words(error, shape)}"
        ) from None
    except ValueError as error:
        raise BodyError(400, f"the body is no JSON: {error}") from None


async def _parts(receive: Receive) -> Any:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise GoneError
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _without_doubles(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object; leave one out")
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _check_text(found: object) -> None:
    """Refuse text that cannot be written down again: `"\\ud800"` is JSON, and no text."""
    if isinstance(found, str):
        found.encode()
    elif isinstance(found, Mapping):
        for key, value in found.items():
            _check_text(key)
            _check_text(value)
    elif isinstance(found, list):
        for each in found:
            _check_text(each)


def _in_our_words(error: msgspec.ValidationError, shape: type) -> str:
    message, _, path = str(error).partition(" - at ")
    where = path.strip("`").removeprefix("$").removeprefix(".")
    said = message.replace("`", "")
    for theirs, ours in _WORDS.items():
        said = said.replace(theirs, ours)
    choices = _choices(shape, where)
    if choices and _NO_CHOICE in said:
        said = f"{said.replace(_NO_CHOICE, '').strip()} is none of {', '.join(choices)}"
    return f"{where}: {said}" if where else said


def _choices(shape: Any, where: str) -> Sequence[str]:
    """Return what a field such as `alerts[0].status` may be, where it is one of a few."""
    for name in where.split("."):
        if not isinstance(shape, type) or not issubclass(shape, msgspec.Struct):
            return ()
        of = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
        found = of.get(name.partition("[")[0])
        shape = get_args(found)[0] if "[" in name and get_args(found) else found
    return [str(each) for each in get_args(shape)] if get_origin(shape) is Literal else ()

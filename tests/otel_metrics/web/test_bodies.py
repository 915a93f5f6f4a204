"""Bodies: bounds, and strict JSON."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from otel_exporter_prometheus.protocol import Request
from otel_metrics.web import bodies
from otel_metrics.web.bodies import BodyError, GoneError


class Part(msgspec.Struct):
    """Of what the tests send."""

    kind: Literal["x"]


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """What the tests send."""

    name: str
    numbers: dict[str, int | float | str] = {}
    choice: Literal["yes", "no"] = "no"
    parts: list[Part] = []


def read(parts: Sequence[Message], **headers: str) -> bytes:
    """Read what a server hands on."""
    waiting = list(parts)

    async def receive() -> Message:
        return waiting.pop(0)

    given = {"content-type": "application/json", **headers}
    request = Request(
        "POST", "/", (), {name.replace("_", "-"): (value,) for name, value in given.items()}
    )
    return asyncio.run(bodies.read(request, receive, bytes_max=100))


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_may_come_in_parts() -> None:
    """As long as all of it is within the bound."""
    assert read([part(b"a" * 60, more=True), part(b"b" * 40)]) == b"a" * 60 + b"b" * 40


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ([part(b"a" * 101)], {}, 413),
        ([part(b"a" * 60, more=True), part(b"a" * 60, more=True)], {}, 413),
        ([], {"content_length": "101"}, 413),
        ([], {"content_length": "9" * 5_000}, 413),
        ([], {"content_length": "-1"}, 413),
        ([], {"content_length": "\u00b2"}, 413),
        ([], {"content_type": "text/plain"}, 415),
        ([], {"content_type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_what_is_too_long_or_no_json_is_not_read(
    parts: Sequence[Message], headers: dict[str, str], status: int
) -> None:
    """No more of it is in memory than the bound."""
    with pytest.raises(BodyError) as raised:
        read(parts, **headers)

    assert raised.value.status == status


def test_a_client_that_leaves_is_not_answered() -> None:
    """Half a body is none."""
    with pytest.raises(GoneError):
        read([part(b"{", more=True), {"type": "http.disconnect"}])


def test_a_client_that_sends_nothing_is_not_waited_for() -> None:
    """A body has its time."""

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    request = Request("POST", "/", (), {"content-type": ("application/json",)})
    with pytest.raises(BodyError) as raised:
        asyncio.run(bodies.read(request, receive, bytes_max=100, wait_s=0.05))

    assert (raised.value.status, str(raised.value)) == (408, "the body did not come within 0.05 s")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is no JSON: Expecting value: line 1 column 1 (char 0)"),
        (
            b'{"name": "a", "name": "b"}',
            "the body is no JSON: a key stands twice in one object; leave one out",
        ),
        (
            b'{"name": "a", "numbers": {"x": NaN}}',
            "the body is no JSON: NaN is no number of JSON",
        ),
        (b'{"name": "\\ud800"}', "the body holds what is no UTF-8; send JSON in UTF-8"),
        (b'{"name": "\xff"}', "the body holds what is no UTF-8; send JSON in UTF-8"),
        (
            b'{"name": "a", "nmae": "b"}',
            "the body is not as it must be: it has the unknown field nmae",
        ),
        (b'{"name": 1}', "the body is not as it must be: name: Expected str, got int"),
        (
            b'{"name": "a", "choice": "yse"}',
            "the body is not as it must be: choice: 'yse' is none of yes, no",
        ),
        (
            b'{"name": "a", "parts": [{"kind": "y"}]}',
            "the body is not as it must be: parts[0].kind: 'y' is none of x",
        ),
        (b"{}", "the body is not as it must be: it misses the field name"),
        (b"[]", "the body is not as it must be: Expected object, got array"),
        (b"[" * 50_000, "the body is nested too deep"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, message: str) -> None:
    """With the key that it is about."""
    with pytest.raises(BodyError) as raised:
        bodies.parse(body, Shape)

    assert (raised.value.status, str(raised.value)) == (400, message)


def test_a_number_without_end_is_refused() -> None:
    """It would take minutes to read."""
    with pytest.raises(BodyError):
        bodies.parse(b'{"name": "a", "numbers": {"x": %s}}' % (b"9" * 60_000), Shape)


_values: st.SearchStrategy[Any] = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@given(st.text(), st.dictionaries(st.text(), _values, max_size=5))
def test_what_was_sent_is_read(name: str, numbers: dict[str, Any]) -> None:
    """Whatever the text, and int and float apart."""
    body = json.dumps({"name": name, "numbers": numbers}).encode()

    found = bodies.parse(body, Shape)

    assert repr(found) == repr(Shape(name, numbers))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """By one kind of error."""
    try:
        bodies.parse(body, Shape)
    except BodyError as error:
        assert error.status == 400

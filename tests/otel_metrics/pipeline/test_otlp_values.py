"""Headers and endpoints from any text: read as upstream does, with no secret in an error."""

import contextlib
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.util.re import parse_env_headers

from otel_metrics.pipeline.otlp_values import (
    parse_endpoint,
    parse_headers,
    parse_seconds,
    without_secrets,
)

NAMES = st.from_regex(r"[a-z0-9!#$&'*+.^_`|~-]{1,12}", fullmatch=True)
SENDABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))


@pytest.fixture(autouse=True, scope="module")
def _upstream_is_quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@given(st.dictionaries(NAMES, SENDABLE))
def test_encoded_headers_come_back(headers: dict[str, str]) -> None:
    """Whatever can be sent can be said in URL encoding."""
    text = ",".join(f"{name}={quote(value, safe='')}" for name, value in headers.items())

    parsed, wrong = parse_headers(text)

    assert {name: value.reveal() for name, value in parsed} == {
        name: value.strip() for name, value in headers.items()
    }
    assert wrong == ()


@given(st.text(st.sampled_from('ab=%2C, \t;"\\\r\né/:{0d')) | st.text())
def test_any_text_is_read_as_upstream_reads_it(text: str) -> None:
    """What we accept, upstream accepts too, with the same value; and nothing raises."""
    upstream = parse_env_headers(text, liberal=True)

    parsed, _ = parse_headers(text)

    assert {name: value.reveal() for name, value in parsed}.items() <= upstream.items()
    sendable = {
        name: value
        for name, value in upstream.items()
        if value.isascii() and value.isprintable() and name.isascii() and name.isalnum()
    }
    assert sendable.keys() <= {name for name, _ in parsed}


@given(st.text(alphabet="xyz\x00\n;é", min_size=8))
def test_errors_hold_no_value(secret: str) -> None:
    """What is wrong is named by position and name alone."""
    _, wrong = parse_headers(f"api-key={secret},{secret}")

    assert not any(secret in text for text in wrong)


@given(st.text(), st.sampled_from(["grpc", "http/protobuf"]))
def test_any_endpoint_is_taken_or_refused(text: str, protocol: str) -> None:
    """No text is worse than a ValueError, and none keeps its password in the address."""
    try:
        dialled = parse_endpoint(f"http://user:pass@{text}", protocol)  # type: ignore[arg-type]  # one of two
    except ValueError:
        return

    assert "user:pass" not in dialled.endpoint


@given(st.text())
def test_any_time_is_taken_or_refused(text: str) -> None:
    """No text is worse than a ValueError."""
    with contextlib.suppress(ValueError):
        assert 0 < parse_seconds(text) <= 86_400


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@c:4317/x?token=1", "http://***@c:4317/x"),
        ("me:pw@c:4317", "***@c:4317"),
        ("http://c/a@b", "http://c/a@b"),
        ("gzip", "gzip"),
    ],
)
def test_shown_without_secrets(text: str, shown: str) -> None:
    """User, password and query of an endpoint are not shown."""
    assert without_secrets(text) == shown

"""What servers say is made fit for a log, and believed only where it can be read."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.pipeline.otlp_reply import Redactor, Reply, judge
from otel_metrics.pipeline.otlp_values import Secret

PLAIN = Redactor(())


@given(st.text("abc ", min_size=1), st.text(), st.text())
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    """Wherever a server echoes a header's value, it is masked."""
    redact = Redactor((("api-key", Secret(secret)),))

    shown = redact(f"{before}{secret}{after}")

    assert secret.strip() == "" or secret not in shown


def test_secret_with_a_break_in_it_is_masked() -> None:
    """A secret is also known when its space came back as something else."""
    redact = Redactor((("api-key", Secret("ab cd")),))

    assert redact("no ab\ncd, no ab cd") == "no ***, no ***"


@pytest.mark.parametrize("echoed", ["Bearer abcdef", "abcdef"])
def test_token_without_its_scheme_is_masked(echoed: str) -> None:
    """A server may echo the token alone."""
    redact = Redactor((("authorization", Secret("Bearer abcdef")),))

    assert redact(f"bad token {echoed}!") == "bad token ***!"


@pytest.mark.parametrize("echoed", ["bWU6c2VjcmV0", "me:secret", "secret"])
def test_password_is_masked(echoed: str) -> None:
    """A server may decode what it was sent before it echoes it."""
    value = "Basic " + base64.b64encode(b"me:secret").decode()

    assert Redactor((("authorization", Secret(value)),))(f"no {echoed}") == "no ***"


@given(st.text())
def test_text_is_short_and_printable(text: str) -> None:
    """No control character reaches a terminal, and no page fills a log."""
    shown = PLAIN(text)

    assert shown.isprintable()
    assert len(shown) <= 200


@given(st.binary(), st.sampled_from(["metrics", "logs"]), st.booleans())
def test_any_reply_is_judged(body: bytes, signal: str, is_json: bool) -> None:
    """No reply raises, and a failure always has a reason."""
    reply = judge(body, signal, PLAIN, is_json=is_json)  # type: ignore[arg-type]  # one of two

    assert isinstance(reply, Reply)
    assert reply.ok or reply.reason

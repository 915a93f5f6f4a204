"""Signatures as receivers check them."""

import pytest

from otel_metrics.remediation.actions.signing import headers, key


def test_a_signature_is_that_of_the_specification() -> None:
    """The example of the reference libraries of Standard Webhooks."""
    secret = key(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")

    assert headers(
        secret,
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    ) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is shorter than 16 bytes; make one with `openssl rand -hex 32`"),
        (b"hunter2-hunter2\n", "is shorter than 16 bytes; make one with `openssl rand -hex 32`"),
        (b"whsec_c2hvcnQ=", "is shorter than 16 bytes; make one with `openssl rand -hex 32`"),
        (b"whsec_!!", "has no base64 behind whsec_; make a new secret"),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused(content: bytes, expected: str) -> None:
    """And is not in the message."""
    with pytest.raises(ValueError, match=r"is shorter|has no base64") as refused:
        key(content)

    assert str(refused.value) == expected


def test_a_secret_is_the_line_of_its_file() -> None:
    """Without the line end that an editor adds."""
    assert key(b"0123456789abcdef\n") == b"0123456789abcdef"

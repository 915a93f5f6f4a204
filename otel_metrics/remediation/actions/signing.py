"""Signatures of what is sent, as the Standard Webhooks specification 1.0 has them. Pure.

The receiver computes HMAC-SHA-256 of `ID.TIMESTAMP.BODY` and compares; it refuses an old timestamp
and an id that it has seen. Libraries for that exist in most languages.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

__all__ = ["SECRET_BYTES_MIN", "headers", "key"]

SECRET_BYTES_MIN: Final = 16
"""A shorter secret can be guessed."""
_PREFIX: Final = b"whsec_"


def key(content: bytes) -> bytes:
    """Return the key that a file of a secret holds: what stands behind `whsec_` is base64.

    Raises:
        ValueError: it is none; the message quotes nothing of it.
    """
    secret = content.strip()
    if secret.startswith(_PREFIX):
        try:
            secret = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("has no base64 behind whsec_; make a new secret") from None
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(
            f"is shorter than {SECRET_BYTES_MIN} bytes; make one with `openssl rand -hex 32`"
        )
    return secret


def headers(secret: bytes, *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver knows who sent a body, and when."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(secret, signed, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }

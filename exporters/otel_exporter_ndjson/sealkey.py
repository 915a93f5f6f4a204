"""Keys that seals are signed with, and the signature itself. A secret is in no repr and no message.

A key's id is made from its secret, so that no two keys share one and a seal says which it needs.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from typing import Final

from otel_exporter_ndjson.errors import SettingError, UnsafeArchiveError

__all__ = ["SealKey", "new_key_text", "read_key"]

SECRET_BYTES: Final = 32
_ID_DIGITS: Final = 16
_ID_SALT: Final = b"otel_exporter_ndjson seal key\0"
_OTHERS_READ: Final = 0o077
_FORM = re.compile(rb"[0-9a-f]{%d}\s*" % (2 * SECRET_BYTES))


@dataclass(frozen=True, slots=True)
class SealKey:
    """A secret of 32 bytes, and the id by which a seal names it."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """The first 16 hex digits of a hash of the secret; it gives nothing of it away."""
        return hashlib.sha256(_ID_SALT + self.secret).hexdigest()[:_ID_DIGITS]

    def sign(self, text: bytes) -> str:
        """Return the HMAC-SHA-256 of `text` as 64 hex digits."""
        return hmac.digest(self.secret, text, "sha256").hex()

    def holds(self, text: bytes, signature: str) -> bool:
        """Whether `signature` is what this key makes of `text`; every byte of it counts."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode("utf-8", "replace"))


def new_key_text() -> str:
    """Return the content of a new key file: 64 random hex digits and a line end."""
    return f"{secrets.token_hex(SECRET_BYTES)}\n"


def read_key(path: str | os.PathLike[str]) -> SealKey:
    """Read a key file.

    Raises:
        OSError: it cannot be read.
        UnsafeArchiveError: others may read or write it, or it is no plain file.
        SettingError: it holds no key.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise UnsafeArchiveError(f"seal_key_file={os.fspath(path)}: is no plain file")
        if facts.st_mode & _OTHERS_READ:
            raise UnsafeArchiveError(
                f"seal_key_file={os.fspath(path)}: others may read or change it "
                f"(mode {stat.S_IMODE(facts.st_mode):04o}); chmod it to 0600"
            )
        text = file.read(2 * SECRET_BYTES + 8)
    if not _FORM.fullmatch(text):
        raise SettingError(
            f"seal_key_file={os.fspath(path)}: holds no key of {2 * SECRET_BYTES} hex digits; "
            "make one with otel-metrics archive keygen"
        )
    return SealKey(bytes.fromhex(text.decode("ascii")))

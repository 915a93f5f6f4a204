"""Who signed a seal, as the keys at hand can tell. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from otel_exporter_ndjson.sealkey import SealKey

__all__ = ["Signature", "keyring", "signature_of"]

Signature = Literal["signed", "unsigned", "unknown_key", "wrong_signature"]

_SIGNED: Final = re.compile(
    rb'(\{"kind":"(?:seal|checkpoint)",.*,"key":"([0-9a-f]{16})"),"hmac":"([0-9a-f]{64})"\}\n',
    re.DOTALL,
)
_TRACES: Final = (b'"key":', b'"hmac":')


def keyring(keys: Iterable[SealKey]) -> dict[str, SealKey]:
    """Return keys by the id by which a seal names them."""
    return {key.id: key for key in keys}


def signature_of(text: bytes, keys: Mapping[str, SealKey]) -> Signature:
    """Return what the signature at the end of a seal line, or of a checkpoint, is worth.

    Only a text of exactly the signed form counts, and every byte of it.
    """
    match = _SIGNED.fullmatch(text)
    if match is None:
        return "wrong_signature" if any(each in text for each in _TRACES) else "unsigned"
    signed, key_id, signature = match.groups()
    key = keys.get(key_id.decode())
    if key is None:
        return "unknown_key"
    return "signed" if key.holds(signed, signature.decode()) else "wrong_signature"

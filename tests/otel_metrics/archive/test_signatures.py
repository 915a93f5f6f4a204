"""No seal is taken for signed that the holder of a key did not sign."""

import random
from collections.abc import Callable

import pytest

from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import seal_line
from otel_metrics.archive.signatures import keyring, signature_of

FORGERIES = 10_000
KEY = SealKey(bytes(range(32)))
OTHER = SealKey(bytes(range(1, 33)))
HASH = "ab" * 32


def sealed(key: SealKey | None = KEY, records: int = 3) -> bytes:
    return seal_line(records, 1, 2, HASH, key=key)


def test_what_a_signature_is_worth() -> None:
    """With the key, without one, with another one, and one key among several."""
    ring = keyring([OTHER, KEY])

    assert signature_of(sealed(), ring) == "signed"
    assert signature_of(sealed(OTHER), ring) == "signed"
    assert signature_of(sealed(None), ring) == "unsigned"
    assert signature_of(sealed(), keyring([OTHER])) == "unknown_key"
    assert signature_of(sealed(), {}) == "unknown_key"


def _forged(chance: random.Random) -> bytes:
    """Return a seal that looks signed, made without the key."""
    line = sealed(records=chance.randrange(4, 10**6))
    signed, _, rest = line.rpartition(b',"hmac":"')
    hmac = rest[:64]
    true = sealed().rpartition(b',"hmac":"')[2][:64]
    near = bytearray(KEY.secret)
    near[chance.randrange(32)] ^= 1 << chance.randrange(8)
    wrongs: list[Callable[[], bytes]] = [
        lambda: SealKey(chance.randbytes(32)).sign(signed).encode(),
        lambda: SealKey(bytes(near)).sign(signed).encode(),
        lambda: SealKey(KEY.id.encode().ljust(32, b"\0")).sign(signed).encode(),
        lambda: true,  # of another segment
        lambda: b"",
        lambda: hmac[: chance.randrange(64)],
        lambda: hmac[:63] + bytes([hmac[63] ^ 1]),
        lambda: bytes([hmac[0] ^ 1]) + hmac[1:],
        lambda: hmac + b"00",
        lambda: hmac.upper() if hmac.upper() != hmac else b"0" * 64,
        lambda: b"0" * 64,
        lambda: chance.randbytes(32).hex().encode(),
        lambda: SealKey(KEY.secret).sign(sealed()).encode(),
    ]
    wrong = chance.choice(wrongs)()
    return b'%s,"hmac":"%s"}\n' % (signed, wrong)


def test_no_forged_seal_is_accepted() -> None:
    """Random and near keys, parts and edits of a right signature, and those of other seals."""
    chance = random.Random(11)
    ring = keyring([KEY, OTHER])
    accepted = [
        line
        for line in (_forged(chance) for _ in range(FORGERIES))
        if signature_of(line, ring) == "signed"
    ]

    assert accepted == []


def test_every_byte_of_a_signed_seal_counts() -> None:
    """Whichever bit is flipped, left out or doubled."""
    line = sealed()
    changed = [
        line[:at] + bytes([line[at] ^ (1 << bit)]) + line[at + 1 :]
        for at in range(len(line))
        for bit in range(8)
    ]
    changed += [line[:at] + line[at + 1 :] for at in range(len(line))]
    changed += [line[:at] + line[at : at + 1] + line[at:] for at in range(len(line))]
    accepted = {each for each in changed if signature_of(each, keyring([KEY])) == "signed"}

    assert accepted == set()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b'{"kind":"seal","hmac":""}\n',
        b'{"kind":"seal","key":"","hmac":""}\n',
        b'{"kind":"seal","key":null,"hmac":null}\n',
        sealed()[:-1],
        sealed() + sealed(),
        sealed().replace(b'"seal"', b'"commit"'),
        b"\xff" * 500,
    ],
)
def test_what_is_no_signed_seal_is_not(line: bytes) -> None:
    """Whatever it is, nothing raises."""
    assert signature_of(line, keyring([KEY])) != "signed"


def test_a_secret_is_never_shown() -> None:
    """Not in the ring either."""
    assert KEY.secret.hex() not in repr(keyring([KEY]))
    assert repr(KEY.secret) not in repr(keyring([KEY]))

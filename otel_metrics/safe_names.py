"""Any name as the safe name of a file or folder, and back. Pure functions.

Letters of any script, digits, space, `.`, `_` and `-` stay, so that people and older readers find
`YouTube Live Chat_outcomes.json`. Every other byte is percent-encoded, and so is a leading dot: two
names never share a file, none leaves its folder, and none is hidden. Combining marks are no
letters, so that the two Unicode forms of `é` keep apart on every file system.
"""

import re
from typing import Final

__all__ = ["FILE_NAME_BYTES_MAX", "decoded", "encoded"]

FILE_NAME_BYTES_MAX: Final = 255
"""What file systems take."""

_SAFE: Final = frozenset(" ._-")
_ENCODED = re.compile("((?:%[0-9A-F]{2})+)")


def encoded(given: str, *, setting: str, bytes_max: int = FILE_NAME_BYTES_MAX) -> str:
    """Return a name as that of a file can hold it.

    Args:
        setting: what messages call it.
        bytes_max: how long the encoded name may be.

    Raises:
        ValueError: it is no text, empty, holds NUL, or is too long.

    >>> encoded("../../etc/passwd", setting="skill_name")
    '%2E.%2F..%2Fetc%2Fpasswd'
    """
    if not isinstance(given, str):
        raise ValueError(f"{setting}={type(given).__name__}: is no text; give a name")
    if not given:
        raise ValueError(f"{setting}='': is empty; give a name")
    if "\0" in given:
        raise ValueError(f"{setting}={given[:80]!r}: holds NUL, which no file name can")
    name = "".join([character if _is_safe(character) else _bytes(character) for character in given])
    if name[0] == ".":
        name = f"%2E{name[1:]}"
    length = len(name.encode())
    if length > bytes_max:
        raise ValueError(
            f"{setting}={given[:80]!r}…: takes {length:,} bytes as a file name, of which there is "
            f"room for {bytes_max}; give a shorter one"
        )
    return name


def decoded(name: str, *, bytes_max: int = FILE_NAME_BYTES_MAX) -> str | None:
    """Return the name that `encoded` made this one of; None where it never does.

    >>> decoded("code%2Freview")
    'code/review'
    """
    try:
        given = "".join(map(_characters, _ENCODED.split(name)))
        return given if encoded(given, setting="name", bytes_max=bytes_max) == name else None
    except ValueError:  # bytes that are no UTF-8, a hidden file, or one that is too long
        return None


def _is_safe(character: str) -> bool:
    return character.isalpha() or character.isdecimal() or character in _SAFE


def _bytes(character: str) -> str:
    # A lone surrogate is a name that the file system gave to bytes which are no UTF-8.
    return "".join([f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass")])


def _characters(part: str) -> str:
    if not _ENCODED.fullmatch(part):
        return part
    return bytes.fromhex(part.replace("%", "")).decode("utf-8", "surrogatepass")

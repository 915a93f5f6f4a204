"""Names of skill files: any skill's name as a safe file name, and back. Pure functions.

Letters of any script, digits, space, `.`, `_` and `-` stay, so that people and older readers find
`YouTube Live Chat_outcomes.json`. Every other byte is percent-encoded, and so is a leading dot: two
names never share a file, none leaves the folder, and none is hidden. Combining marks are no
letters, so that the two Unicode forms of `é` keep apart on every file system.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

__all__ = ["ENDINGS", "NAME_BYTES_MAX", "Kind", "decoded", "encoded", "file_name", "parsed"]

Kind = Literal["performance", "outcome", "fidelity", "promotion"]
"""What a skill file holds; rollbacks are in that of promotions."""

ENDINGS: Final[Mapping[Kind, str]] = {
    "performance": "_performance.json",
    "outcome": "_outcomes.json",
    "fidelity": "_fidelity.json",
    "promotion": "_promotion_log.json",
}
"""How the name of each kind of file ends."""
FILE_NAME_BYTES_MAX: Final = 255
"""What file systems take."""
NAME_BYTES_MAX: Final = FILE_NAME_BYTES_MAX - max(map(len, ENDINGS.values()))
"""Bytes of an encoded skill's name: as many as leave room for the longest ending."""

_SAFE: Final = frozenset(" ._-")
_ENCODED = re.compile("((?:%[0-9A-F]{2})+)")


def file_name(skill: str, kind: Kind) -> str:
    """Return the name of the file that holds one kind of record of a skill.

    Raises:
        ValueError: as `encoded`.

    >>> file_name("YouTube Live Chat", "outcome")
    'YouTube Live Chat_outcomes.json'
    """
    return encoded(skill) + ENDINGS[kind]


def parsed(name: str) -> tuple[str, Kind] | None:
    """Return the skill and the kind of a file's name; None where it is no skill file's.

    >>> parsed("a%2Fb_promotion_log.json")
    ('a/b', 'promotion')
    """
    for kind, ending in ENDINGS.items():
        stem = name.removesuffix(ending)
        if stem and stem != name:
            return decoded(stem), kind
    return None


def encoded(skill: str) -> str:
    """Return a skill's name as a file name can hold it.

    Raises:
        ValueError: it is empty, holds NUL, or is too long for a file name.

    >>> encoded("../../etc/passwd")
    '%2E.%2F..%2Fetc%2Fpasswd'
    """
    if not isinstance(skill, str):
        raise ValueError(f"skill_name={type(skill).__name__}: is no text; give the skill's name")
    if not skill:
        raise ValueError("skill_name='': is empty; give the skill's name")
    if "\0" in skill:
        raise ValueError(f"skill_name={skill[:80]!r}: holds NUL, which no file name can")
    name = "".join([character if _is_safe(character) else _bytes(character) for character in skill])
    if name[0] == ".":
        name = f"%2E{name[1:]}"
    length = len(name.encode())
    if length > NAME_BYTES_MAX:
        raise ValueError(
            f"skill_name={skill[:80]!r}…: takes {length:,} bytes as a file name, of which there is "
            f"room for {NAME_BYTES_MAX}; give a shorter one"
        )
    return name


def decoded(name: str) -> str:
    """Return the skill's name of an encoded one.

    What `encoded` never writes is kept as it is: older writers encoded nothing.

    >>> decoded("100% right")
    '100% right'
    """
    *parts, last = _ENCODED.split(name)
    try:
        skill = "".join([_characters(part) for part in parts]) + last
        return skill if encoded(skill) == name else name
    except ValueError:  # an encoded name that is too long, or bytes that are no UTF-8
        return name


def _is_safe(character: str) -> bool:
    return character.isalpha() or character.isdecimal() or character in _SAFE


def _bytes(character: str) -> str:
    # A lone surrogate is a name that the file system gave to bytes which are no UTF-8.
    return "".join([f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass")])


def _characters(part: str) -> str:
    if not part.startswith("%"):
        return part
    return bytes.fromhex(part.replace("%", "")).decode("utf-8", "surrogatepass")

"""Names of agents' folders: any agent's name as a safe name of a folder, and back. Pure functions.

Letters of any script, digits, space, `.`, `_` and `-` stay, so that people and older readers find
`.kaizen/metrics/code reviewer`. Every other byte is percent-encoded, and so is a leading dot: two
names never share a folder, none leaves the project, and none is hidden.
"""

import re
from typing import Final

__all__ = ["NAME_BYTES_MAX", "decoded", "encoded"]

NAME_BYTES_MAX: Final = 255
"""What file systems take."""

_SAFE: Final = frozenset(" ._-")
_ENCODED = re.compile("((?:%[0-9A-F]{2})+)")


def encoded(agent: str) -> str:
    """Return an agent's name as the name of a folder.

    Raises:
        ValueError: it is no text, empty, holds NUL, or is too long for a folder's name.

    >>> encoded("../../etc/passwd")
    '%2E.%2F..%2Fetc%2Fpasswd'
    """
    if not isinstance(agent, str):
        raise ValueError(f"agent={type(agent).__name__}: is no text; give the agent's name")
    if not agent:
        raise ValueError("agent='': is empty; give the agent's name")
    if "\0" in agent:
        raise ValueError(f"agent={agent[:80]!r}: holds NUL, which no folder's name can")
    name = "".join([character if _is_safe(character) else _bytes(character) for character in agent])
    if name[0] == ".":
        name = f"%2E{name[1:]}"
    length = len(name.encode())
    if length > NAME_BYTES_MAX:
        raise ValueError(
            f"agent={agent[:80]!r}…: takes {length:,} bytes as a folder's name, of which there is "
            f"room for {NAME_BYTES_MAX}; give a shorter one"
        )
    return name


def decoded(name: str) -> str | None:
    """Return the agent whose folder has this name; None where `encoded` never writes it.

    >>> decoded("code%2Freview")
    'code/review'
    """
    try:
        agent = "".join(map(_characters, _ENCODED.split(name)))
        return agent if encoded(agent) == name else None
    except ValueError:  # bytes that are no UTF-8, or a hidden folder
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

"""Names of skill files: which file holds what of which skill, and back. Pure functions."""

from collections.abc import Mapping
from typing import Final, Literal

from otel_metrics import safe_names

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
NAME_BYTES_MAX: Final = safe_names.FILE_NAME_BYTES_MAX - max(map(len, ENDINGS.values()))
"""Bytes of an encoded skill's name: as many as leave room for the longest ending."""


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

    >>> encoded("a/b")
    'a%2Fb'
    """
    return safe_names.encoded(skill, setting="skill_name", bytes_max=NAME_BYTES_MAX)


def decoded(name: str) -> str:
    """Return the skill's name of an encoded one.

    What `encoded` never writes is kept as it is: older writers encoded nothing.

    >>> decoded("100% right")
    '100% right'
    """
    skill = safe_names.decoded(name, bytes_max=NAME_BYTES_MAX)
    return name if skill is None else skill

"""Names that stand in the audit for what is no person and no token. Pure."""

from typing import Final

__all__ = ["RESERVED", "is_reserved"]

RESERVED: Final = frozenset({"expiry", "recommendation", "remediation"})
"""Who asks for what a metric recommends, who ends what nobody decided, who ends what changed."""


def is_reserved(name: str) -> bool:
    """Say whether a person or a token must not be called so, in whatever spelling."""
    return name.strip().casefold() in RESERVED

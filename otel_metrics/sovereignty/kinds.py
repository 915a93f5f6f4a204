"""The nine event types and the three layers, and what is said of one that is none of them."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["EVENT_TYPES", "LAYERS", "PLACES", "accepted"]

PLACES: Final[Mapping[str, tuple[str, str] | None]] = {
    "perception_cache_hit": ("perception", "sovereign"),
    "perception_vlm_call": ("perception", "model"),
    "decision_rule_hit": ("decision", "sovereign"),
    "decision_llm_call": ("decision", "model"),
    "narration_template": ("narration", "sovereign"),
    "narration_llm": ("narration", "model"),
    "skill_crystallized": None,
    "api_call": None,
    "api_cost": None,
}
"""Layer and path of each event type; three have neither."""
EVENT_TYPES: Final = tuple(PLACES)
"""The nine event types."""
LAYERS: Final = ("perception", "decision", "narration")
"""The three layers."""


def accepted(given: object, choices: Sequence[str]) -> str:
    """Return what would have been accepted, and what was probably meant, in words."""
    near = difflib.get_close_matches(str(given)[:64], choices, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"one of {', '.join(choices)}{hint}"

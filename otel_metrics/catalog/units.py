"""Units of metrics: codes of UCUM and annotations, where people write words. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from otel_metrics.catalog.fields import Fields

__all__ = ["unit_of"]

UNIT_WORDS: Final[Mapping[str, str]] = {
    "byte": "By",
    "bytes": "By",
    "dollar": "{USD}",
    "dollars": "{USD}",
    "hour": "h",
    "hours": "h",
    "milliseconds": "ms",
    "minute": "min",
    "minutes": "min",
    "percent": "%",
    "ratio": "1",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "USD": "{USD}",
}
"""Words that people write for the codes of UCUM, in which units are written."""

_UNIT: Final = re.compile(r"[\x21-\x7e]{1,63}")


def unit_of(fields: Fields) -> str:
    """Return the unit that an entry has, "" where it has none."""
    unit = fields.text("unit", required='add the unit, such as s, By, 1 or "{request}"')
    if not unit:
        return ""
    if unit in UNIT_WORDS:
        fields.refuse("unit", f"{unit!r} is no code", f"write {UNIT_WORDS[unit]!r}, as UCUM has it")
    elif not _UNIT.fullmatch(unit):
        remedy = "use at most 63 printable ASCII characters and no spaces"
        fields.refuse("unit", f"{unit[:80]!r} is no unit", remedy)
    return unit

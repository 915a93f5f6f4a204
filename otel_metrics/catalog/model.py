"""What a catalog holds: every metric, attribute and event, as frozen data.

Pure. Reading files is in `loader.py`, checking them in `reading.py`.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

__all__ = [
    "MERGES",
    "SERIES_BUDGET",
    "Attribute",
    "Band",
    "Bands",
    "Catalog",
    "Event",
    "Instrument",
    "Member",
    "Merge",
    "Metric",
    "Playbooks",
    "ValueType",
]

Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]
"""The conventions' names; an observable instrument is the same entry, fed by a callback."""
ValueType = Literal["int", "double"]
Merge = Literal["sum", "max", "min", "newest"]
"""How the values that several worker processes hold of one series become one."""

MERGES: Final[tuple[Merge, ...]] = ("sum", "max", "min", "newest")
SERIES_BUDGET: Final = 2_000
"""Attribute sets that a metric keeps where its entry says nothing."""


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value that an enumerated attribute may have."""

    id: str
    value: str | int
    brief: str = ""


class Attribute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attribute key, its type (`string`, `int`, …, `enum`), and what it says.

    `members` is empty unless the type is `enum`.
    """

    key: str
    type: str
    brief: str
    members: tuple[Member, ...] = ()
    examples: tuple[str | int | float | bool, ...] = ()
    note: str = ""
    stability: str = "development"


class Band(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range of a metric's values, bounds included, in the metric's unit."""

    lower: float | None = None
    upper: float | None = None


class Bands(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is good and what is critical; what is neither is a warning."""

    good: Band
    critical: Band
    warning: Band | None = None


class Playbooks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The playbook that each band recommends, by its id."""

    warning: str | None = None
    critical: str | None = None


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric: what is measured, in which unit, and how it is exposed and kept.

    Attributes:
        attributes: the keys that a point may carry; every other is dropped and counted.
        levels: requirement level of each key: `required`, `recommended`, `opt_in`, or one of these
            and `conditionally_required` with a colon and the condition.
        prometheus: the exact name on the page, without `_bucket`, `_sum` and `_count`.
        buckets: upper bounds, ascending, in `unit`; histograms only, and never empty there.
        series_budget: attribute sets kept; what is over it folds into one overflow series.
        ttl_s: seconds after which a gauge's value is no longer exported; None is never.
        observable: the values come from a callback at each collection.
        domain: the catalog file that declares it, without its ending.
    """

    name: str
    instrument: Instrument
    unit: str
    brief: str
    prometheus: str
    value_type: ValueType
    domain: str
    attributes: tuple[str, ...] = ()
    levels: Mapping[str, str] = {}
    buckets: tuple[float, ...] = ()
    merge: Merge | None = None
    series_budget: int = SERIES_BUDGET
    ttl_s: float | None = None
    bands: Bands | None = None
    playbooks: Playbooks | None = None
    source: str | None = None
    observable: bool = False
    note: str = ""
    stability: str = "development"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event: a log record with this name, and the attributes it may carry."""

    name: str
    brief: str
    domain: str
    attributes: tuple[str, ...] = ()
    levels: Mapping[str, str] = {}
    note: str = ""
    stability: str = "development"


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is declared, by name, in the order of declaration."""

    metrics: Mapping[str, Metric]
    attributes: Mapping[str, Attribute]
    events: Mapping[str, Event]

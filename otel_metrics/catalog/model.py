"""What a catalog holds: every metric, attribute and event, as frozen data.

Pure. Reading files is in `loader.py`, checking them in `reading.py`.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

__all__ = [
    "MERGES",
    "SERIES_BUDGET",
    "Aggregation",
    "Attribute",
    "Band",
    "Bands",
    "Catalog",
    "Event",
    "Instrument",
    "Member",
    "Merge",
    "Metric",
    "Parameter",
    "Playbook",
    "Playbooks",
    "Risk",
    "Source",
    "SourceType",
    "Statistic",
    "ValueType",
]

Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]
"""The conventions' names; an observable instrument is the same entry, fed by a callback."""
ValueType = Literal["int", "double"]
Merge = Literal["sum", "max", "min", "newest"]
"""How the values that several worker processes hold of one series become one."""
SourceType = Literal["host", "http_server", "sql", "prometheus", "callable"]
"""What is asked for the values of a service metric."""
Statistic = Literal[
    "cpu", "memory", "disk", "latency_p95", "error_ratio", "request_rate", "saturation"
]
"""What is taken of a source that has several: the first three of a host, the others of an HTTP
server."""
Aggregation = Literal["avg", "max", "min", "sum", "p95"]
"""Which figure of a window's samples stands for the window."""
Risk = Literal["low", "medium", "high", "critical"]
"""What a playbook may break; it decides the tier, and who must agree."""

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
    """A range of a metric's values, bounds included, in the metric's unit.

    A critical one whose `lower` is above its `upper` has two sides: at or above `lower`, and at or
    below `upper`.
    """

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


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the values of a service metric come from, how often, and what they are of.

    Attributes:
        interval_s: time between two samples.
        scope: what a value is of: `service`, `queue`, `worker_pool`, `subsystem`, `collector`,
            `host`, `volume`.
        unit_name: the unit's word in records: `percent`, `req_per_sec`.
        timeout_s: what one sample may take.
        query: of `sql` one SELECT that gives a number, or rows of resource id and number; of
            `prometheus` an expression.
        url_variable: the variable that holds the URL, where it is not the source type's own.
        statistic: of `host` and `http_server`, which of their figures.
        capacity: requests at once that are 100 % of `saturation`.
    """

    type: SourceType
    interval_s: float
    scope: str
    aggregation: Aggregation = "avg"
    unit_name: str = ""
    timeout_s: float = 5.0
    query: str | None = None
    url_variable: str | None = None
    statistic: Statistic | None = None
    capacity: float | None = None


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
    source: Source | None = None
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


class Parameter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One parameter of a playbook: what it may be. Text is one of `choices` or matches `pattern`
    whole; a number lies within `minimum` and `maximum`. Without a default it must be given."""

    name: str
    type: Literal["string", "integer", "number"]
    brief: str
    default: str | int | float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None


class Playbook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can be done about a metric out of its band. What it does is bound by an operator.

    Attributes:
        id: `scale-workers`.
        within_s: how soon after the action the metric should be back in its band (verification).
        verifies: the metric that must be; None is the one that it was recommended for.
    """

    id: str
    brief: str
    risk: Risk
    parameters: tuple[Parameter, ...] = ()
    within_s: float = 600.0
    verifies: str | None = None

    @property
    def tier(self) -> int:
        """1 for low risk to 4 for critical."""
        return ("low", "medium", "high", "critical").index(self.risk) + 1

    @property
    def needs_approval(self) -> bool:
        """Whether a person must agree each time: high and critical risk."""
        return self.tier >= 3


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is declared, by name, in the order of declaration."""

    metrics: Mapping[str, Metric]
    attributes: Mapping[str, Attribute]
    events: Mapping[str, Event]
    playbooks: Mapping[str, Playbook] = {}

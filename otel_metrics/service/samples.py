"""What is measured of a service and what follows from it, as plain data. Pure."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["BandName", "Recommendation", "Resource", "Sample"]

BandName = Literal["good", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Resource:
    """What a value is of: a scope of the catalog (`host`, `queue`), and which one."""

    scope: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a metric of one resource, in the metric's unit.

    Attributes:
        observed_at: Unix time in seconds, of the source's answer.
        band: None for a metric without bands.
    """

    metric: str
    resource: Resource
    value: float
    observed_at: float
    band: BandName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A playbook for a metric that stayed out of its band.

    Attributes:
        id: made from metric, resource and the time of the sample that completed the run, so that
            the same recommendation is never acted on twice.
        confidence: share of the window's samples in the band, 0 to 1.
        values: of the samples in a row that it follows from, the newest last.
    """

    id: str
    metric: str
    resource: Resource
    band: BandName
    playbook: str
    confidence: float
    reason: str
    observed_at: float
    values: tuple[float, ...] = ()

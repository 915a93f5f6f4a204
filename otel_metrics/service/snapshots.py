"""Snapshots and recommendations as records: the words that events, rows and pages use.

Pure. The words are fixed by those who already read such records.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypedDict

from otel_metrics.catalog.model import Aggregation
from otel_metrics.service.samples import BandName, Recommendation, Resource
from otel_metrics.service.windows import Entry, Figures, Window, expected_of, figures_of

__all__ = [
    "ACTION_TYPE",
    "BANDS",
    "COUNTS",
    "STATS",
    "Action",
    "Latest",
    "Over",
    "Plan",
    "Snapshot",
    "action_of",
    "id_of",
    "moment",
    "of_recommendation",
    "of_snapshot",
    "snapshot_of",
]

ACTION_TYPE: Final = "recommend_playbook"
"""What follows from a window: no action by itself, but a playbook that is recommended."""
STATS: Final = ("min", "max", "avg", "p95", "sample_count")
BANDS: Final = ("good_samples", "warning_samples", "critical_samples")
COUNTS: Final = (
    "expected_samples",
    "missing_samples",
    "late_samples",
    "not_a_number_samples",
)
"""The names of a record's figures, in its groups `stats` and `bands` and beside them."""


class Plan(NamedTuple):
    """What of a metric decides what its windows say."""

    aggregation: Aggregation
    interval_s: float


class Over(NamedTuple):
    """A window that is over, and of what."""

    metric: str
    resource_id: str
    window: Window


class Action(TypedDict):
    """What follows from a window, as its record says it."""

    action_type: str
    playbook_id: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A window that is closed, of one metric of one resource."""

    metric: str
    resource: Resource
    window: Window
    aggregation: Aggregation
    figures: Figures
    actions: Sequence[Action]
    created_at: float

    @property
    def id(self) -> str:
        """The same for the same window of the same metric and resource, whoever closes it."""
        return id_of(self.metric, self.resource.id, self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """What is known last of one metric of one resource.

    Attributes:
        value, band, observed_at: of the newest sample; None where there never was one.
        missing_since: when the first sample after that was missing; None while none is.
        missing_reason: why the last one was.
    """

    metric: str
    resource: Resource
    value: float | None = None
    band: BandName | None = None
    observed_at: float | None = None
    missing_since: float | None = None
    missing_reason: str | None = None


def moment(at: float) -> str:
    """Return Unix seconds as records say them: to the second, in UTC."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def id_of(metric: str, resource_id: str, window: Window) -> str:
    """Return the id of a window's snapshot."""
    return f"{resource_id}:{moment(window.end)}:{metric}"


def snapshot_of(
    of: Over,
    resource: Resource,
    entries: Sequence[Entry],
    actions: Sequence[Action],
    *,
    plan: Plan,
    now: float,
) -> Snapshot:
    """Return the snapshot of a window that is over, from its entries in the order of time."""
    expected = expected_of(entries, of.window.end - of.window.start, plan.interval_s)
    return Snapshot(
        metric=of.metric,
        resource=resource,
        window=of.window,
        aggregation=plan.aggregation,
        figures=figures_of(entries, aggregation=plan.aggregation, expected=expected),
        actions=actions,
        created_at=now,
    )


def of_snapshot(snapshot: Snapshot) -> dict[str, object]:
    """Return the record of a snapshot."""
    figures = asdict(snapshot.figures)
    return {
        "snapshot_id": snapshot.id,
        "metric_id": snapshot.metric,
        "resource_scope": snapshot.resource.scope,
        "resource_id": snapshot.resource.id,
        "window_start": moment(snapshot.window.start),
        "window_end": moment(snapshot.window.end),
        "aggregation": snapshot.aggregation,
        "value": figures["value"],
        "latest_band": figures["latest_band"],
        "created_at": moment(snapshot.created_at),
        "stats": {name: figures[name] for name in STATS},
        "bands": {name: figures[name] for name in BANDS},
        **{name: figures[name] for name in COUNTS},
        "derived_actions": [dict(action) for action in snapshot.actions],
    }


def of_recommendation(recommendation: Recommendation) -> dict[str, object]:
    """Return the record of a recommendation."""
    resource = recommendation.resource
    return {
        "recommendation_id": recommendation.id,
        "metric_id": recommendation.metric,
        "resource": {"scope": resource.scope, "id": resource.id},
        "band": recommendation.band,
        **action_of(recommendation),
        "observed_at": moment(recommendation.observed_at),
    }


def action_of(recommendation: Recommendation) -> Action:
    """Return a recommendation as the derived action of a snapshot."""
    return {
        "action_type": ACTION_TYPE,
        "playbook_id": recommendation.playbook,
        "confidence": recommendation.confidence,
        "reason": recommendation.reason,
    }

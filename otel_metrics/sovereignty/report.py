"""How sovereign a service became: percent per layer and hour, what it cost, its sessions. Pure.

Events come in any order, as an archive has them: writer after writer. So they are added up by
minute, and hours are cut from that when all are there. Hours are counted from the minute of the
first event; nothing is said of an hour in which nothing happened.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from otel_metrics.errors import OtelMetricsError
from otel_metrics.sovereignty.kinds import LAYERS, PLACES

__all__ = [
    "TARGETS",
    "Event",
    "Hour",
    "Minute",
    "Report",
    "Session",
    "Target",
    "TooMuchError",
    "Verdict",
    "amount_of",
    "binned",
    "reported",
    "with_session",
]

Verdict = Literal["met", "not met", "cannot be computed"]

_PLACES: Final[Mapping[str, tuple[int, int]]] = {
    kind: (LAYERS.index(place[0]), int(place[1] == "model"))
    for kind, place in PLACES.items()
    if place is not None
}
"""Of each event type that has a layer: which of `LAYERS`, and 0 for sovereign or 1 for model."""
TARGETS: Final = ((1, 90.0), (4, 99.0))
"""From which hour on how many percent of perception are to be sovereign."""
MINUTES_MAX: Final = 1_000_000
"""Minutes with events, about two years of them without a pause; more are asked for in parts."""
SESSIONS_MAX: Final = 100_000
MINUTE_S: Final = 60
HOUR_S: Final = 3600


class TooMuchError(OtelMetricsError):
    """There is more than one report takes; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it was recorded; `metadata` is what its caller added.

    `cost_usd` is what the recorder made of the metadata's, None where it kept nothing.
    """

    time_s: float
    event_type: str
    session_id: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    cost_usd: float | None = None

    @property
    def cost(self) -> float | None:
        """What it cost, in USD, None where that was not said."""
        return amount_of(self.metadata, "cost_usd") if self.cost_usd is None else self.cost_usd


@dataclass(slots=True)
class Minute:
    """What happened in a minute, or in several: `layers` holds sovereign and model, one by one."""

    layers: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in LAYERS])
    events: int = 0
    skills_crystallized: int = 0
    cost_usd: float = 0.0

    def add(self, other: "Minute") -> None:
        """Add what happened in another one."""
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine[0] += theirs[0]
            mine[1] += theirs[1]
        self.events += other.events
        self.skills_crystallized += other.skills_crystallized
        self.cost_usd += other.cost_usd

    def percent(self, layer: int) -> float | None:
        """Return how many percent of a layer's work were sovereign, None where there was none."""
        sovereign, model = self.layers[layer]
        return 100.0 * sovereign / (sovereign + model) if sovereign + model else None


@dataclass(slots=True)
class Session:
    """What happened in a session.

    Attributes:
        started_s, ended_s: of the session where that was recorded, else of its events.
        last_vision_s: when a vision model was last called.
        api_calls: calls of paid APIs.
        model_calls: calls of models that nothing says were local.
        cloud_narrations: those among them that narrated.
    """

    session_id: str
    game: str | None = None
    started_s: float = math.inf
    ended_s: float = -math.inf
    seen: Minute = field(default_factory=Minute)
    last_vision_s: float | None = None
    vision_calls: int = 0
    api_calls: int = 0
    model_calls: int = 0
    cloud_narrations: int = 0


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour in which something happened; the first is number 1."""

    number: int
    start_s: float
    seen: Minute

    @property
    def target(self) -> float | None:
        """How many percent of perception are to be sovereign by now."""
        return max((percent for number, percent in TARGETS if self.number >= number), default=None)

    @property
    def verdict(self) -> Verdict:
        """Whether they are."""
        return _verdict(self.seen.percent(0), self.target)


@dataclass(frozen=True, slots=True)
class Target:
    """A target, and what became of it in its hour."""

    hour: int
    percent: float
    reached: float | None
    verdict: Verdict
    reason: str


@dataclass(slots=True)
class Report:
    """All that was added up.

    Attributes:
        minutes: by number since 1970.
        sessions: by id, at most `SESSIONS_MAX`.
        left_out: events of further sessions.
        priced: events that say a cost.
        earned_usd: None where no event says what was earned.
        interventions: minutes in which a human took part; None where no event says whether one did.
    """

    minutes: dict[int, Minute] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    left_out: int = 0
    first_s: float = math.inf
    last_s: float = -math.inf
    events: int = 0
    priced: int = 0
    cloud_calls: int = 0
    earned_usd: float | None = None
    interventions: set[int] | None = None

    @property
    def cost_usd(self) -> float:
        """What was spent, as far as it was said."""
        return math.fsum(minute.cost_usd for minute in self.minutes.values())

    @property
    def cost_per_hour(self) -> float:
        """What was spent per hour from the first event to the last, of one hour at least."""
        hours = max(1.0, (self.last_s - self.first_s) / HOUR_S)
        return self.cost_usd / hours if self.events else 0.0

    @property
    def hours(self) -> list[Hour]:
        """The hours in which something happened, in order."""
        return [
            Hour(at // 60 + 1, (self._start + at) * MINUTE_S, seen) for at, seen in binned(self, 60)
        ]

    @property
    def targets(self) -> list[Target]:
        """What became of each target."""
        hours = {hour.number: hour for hour in self.hours}
        last = max(hours, default=0)
        return [_target(number, percent, hours, last) for number, percent in TARGETS]

    @property
    def by_start(self) -> list[Session]:
        """The sessions, the newest last."""
        return sorted(self.sessions.values(), key=lambda each: (each.started_s, each.session_id))

    @property
    def _start(self) -> int:
        return min(self.minutes, default=0)


def reported(events: Iterable[Event]) -> Report:
    """Add up events of any order.

    Raises:
        TooMuchError: they are of more minutes than one report takes.
    """
    report = Report()
    for event in events:
        _add(report, event)
    return report


def binned(report: Report, minutes: int) -> list[tuple[int, Minute]]:
    """Return what happened in steps of so many minutes from the first event on.

    Each comes with how many minutes after the first it begins; empty ones are left out.
    """
    start = min(report.minutes, default=0)
    found: dict[int, Minute] = {}
    for at in sorted(report.minutes):
        found.setdefault((at - start) // minutes * minutes, Minute()).add(report.minutes[at])
    return list(found.items())


def amount_of(metadata: Mapping[str, object], key: str) -> float | None:
    """Return an amount of USD that metadata says, None where it says none.

    A number as text is one, too: that is what an event keeps of a `Decimal`.
    """
    value = metadata.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) and amount >= 0 else None


def _add(report: Report, event: Event) -> None:
    seen = _minute(event)
    number = int(event.time_s // MINUTE_S)
    minute = report.minutes.get(number)
    if minute is None:
        if len(report.minutes) >= MINUTES_MAX:
            raise TooMuchError(
                f"the events are of more than {MINUTES_MAX:,} minutes; "
                "narrow with --since and --until"
            )
        report.minutes[number] = seen
    else:
        minute.add(seen)
    report.events += 1
    report.first_s = min(report.first_s, event.time_s)
    report.last_s = max(report.last_s, event.time_s)
    report.priced += event.cost is not None
    report.cloud_calls += event.event_type == "api_call" or _is_cloud(event)
    earned = amount_of(event.metadata, "earned_usd")
    if earned is not None:
        report.earned_usd = (report.earned_usd or 0.0) + earned
    human = event.metadata.get("human")
    if isinstance(human, bool):
        report.interventions = report.interventions or set()
        if human:
            report.interventions.add(number)
    if event.session_id is not None:
        _add_to_session(report, event.session_id, event)


def _minute(event: Event) -> Minute:
    seen = Minute(
        events=1,
        skills_crystallized=int(event.event_type == "skill_crystallized"),
        cost_usd=event.cost or 0.0,
    )
    place = _PLACES.get(event.event_type)
    if place is not None:
        seen.layers[place[0]][place[1]] = 1
    return seen


def with_session(
    report: Report,
    session_id: str,
    *,
    game: str | None = None,
    started_s: float | None = None,
    ended_s: float | None = None,
) -> None:
    """Add what was recorded of a session itself; one without an event of the report is left out."""
    session = report.sessions.get(session_id)
    if session is None:
        return
    session.game = game or session.game
    session.started_s = min(session.started_s, math.inf if started_s is None else started_s)
    session.ended_s = max(session.ended_s, -math.inf if ended_s is None else ended_s)


def _session(report: Report, session_id: str) -> Session | None:
    """Return a session, made where there is room; None where there is none."""
    session = report.sessions.get(session_id)
    if session is None:
        if len(report.sessions) >= SESSIONS_MAX:
            return None
        session = report.sessions[session_id] = Session(session_id)
    return session


def _add_to_session(report: Report, session_id: str, event: Event) -> None:
    session = _session(report, session_id)
    if session is None:
        report.left_out += 1
        return
    session.seen.add(_minute(event))
    session.started_s = min(session.started_s, event.time_s)
    session.ended_s = max(session.ended_s, event.time_s)
    session.api_calls += event.event_type == "api_call"
    session.model_calls += _is_cloud(event)
    session.cloud_narrations += event.event_type == "narration_llm" and _is_cloud(event)
    if event.event_type == "perception_vlm_call":
        session.vision_calls += 1
        session.last_vision_s = max(session.last_vision_s or event.time_s, event.time_s)


def _is_cloud(event: Event) -> bool:
    """Tell whether a model was called that nothing says is local."""
    place = _PLACES.get(event.event_type)
    return place is not None and place[1] == 1 and event.metadata.get("local") is not True


def _verdict(percent: float | None, target: float | None) -> Verdict:
    if percent is None or target is None:
        return "cannot be computed"
    return "met" if percent >= target else "not met"


def _target(number: int, percent: float, hours: Mapping[int, Hour], last: int) -> Target:
    hour = hours.get(number)
    reached = None if hour is None else hour.seen.percent(0)
    if reached is not None:
        reason = f"{reached:.1f} % of perception in hour {number}"
    elif number > last:
        reason = f"the events end in hour {last}"
    else:
        reason = f"no perception was recorded in hour {number}"
    return Target(number, percent, reached, _verdict(reached, percent), reason)

"""Says that a skill moved: promoted towards production, or rolled back. Nothing here raises.

A skill moves one state at a time; a step that is none is counted as rejected.
"""

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from otel_metrics import events, instruments, values
from otel_metrics.amounts import NS_PER_S, flag, never_raises, timestamp_ns
from otel_metrics.skills.recorder import about_skill

__all__ = [
    "PROMOTIONS",
    "ROLLBACKS",
    "STATES",
    "State",
    "count_move",
    "forget_state",
    "record_promotion",
    "record_rollback",
    "set_state",
    "states_set",
]

State = Literal["prototype", "staged", "production"]

STATES: Final[Sequence[State]] = ("prototype", "staged", "production")
PROMOTIONS: Final[Sequence[tuple[State, State]]] = (
    ("prototype", "staged"),
    ("staged", "production"),
)
ROLLBACKS: Final[Sequence[tuple[State, State]]] = (
    ("production", "staged"),
    ("staged", "prototype"),
)

EVENT_IDS_MAX: Final = 10_000
"""Ids of promotions and rollbacks remembered, so that two in one second differ."""

STATES_MAX: Final = 10_000
"""Skills remembered of which this process has set the state."""

_event_ids: dict[str, "itertools.count[int]"] = {}
_states_set: dict[str, None] = {}
"""Skills of which this process says the state, apart from any version."""

_promotions = instruments.metric("skill.promotions")
_rollbacks = instruments.metric("skill.rollbacks")
_state = instruments.metric("skill.state")


@never_raises("skill.promotions")
def record_promotion(
    skill: str,
    *,
    from_state: State,
    to_state: State,
    approver: str | None = None,
    approval_ticket: str | None = None,
    reason: str | None = None,
    automated_checks: object = None,
    version: str | None = None,
    timestamp: float | None = None,
    event_id: str | None = None,
) -> None:
    """Record that a skill was promoted: prototype to staged, or staged to production.

    Args:
        skill: the skill's name, from a small set.
        from_state: where it was.
        to_state: where it is now; the gauge `skill.state` follows.
        approver: who approved, kept in the event, as are the next three.
        approval_ticket: where the approval is written down.
        reason: why.
        automated_checks: what was checked, and what came of it; any data.
        version: the skill's version, from a small set.
        timestamp: of the event, Unix seconds; default now.
        event_id: where the move has one already; default made of the skill and the second.
    """
    about = about_skill("skill.promotions", skill, None, version)
    if about is None:
        return
    edge = _edge("skill.promotions", (from_state, to_state), PROMOTIONS)
    if edge is None:
        return
    moved = about | {"skill.promotion.from": edge[0], "skill.promotion.to": edge[1]}

    _promotions.add(1, moved)
    _set_state(about, edge[1])
    occurred_ns = timestamp_ns("skill.promotion", timestamp)
    if occurred_ns is None:
        occurred_ns = time.time_ns()
    events.emit(
        "skill.promotion",
        {
            **moved,
            "event_id": event_id or _event_id("promo", about, occurred_ns),
            "approver": approver,
            "approval_ticket": approval_ticket,
            "reason": reason,
            "automated_checks": automated_checks,
        },
        timestamp_ns=occurred_ns,
    )


@never_raises("skill.rollbacks")
def record_rollback(
    skill: str,
    *,
    from_state: State,
    to_state: State,
    trigger_reason: str | None = None,
    trigger_metric: object = None,
    automated: bool = True,
    version: str | None = None,
    timestamp: float | None = None,
    event_id: str | None = None,
) -> None:
    """Record that a skill went back: production to staged, or (a demotion) staged to prototype.

    Args:
        skill: the skill's name, from a small set.
        from_state: where it was.
        to_state: where it is now; the gauge `skill.state` follows.
        trigger_reason: why, such as `pattern_fidelity_drop`; kept in the event.
        trigger_metric: the figure that gave the reason; kept in the event.
        automated: False where a person decided.
        version: the skill's version, from a small set.
        timestamp: of the event, Unix seconds; default now.
        event_id: where the move has one already; default made of the skill and the second.
    """
    about = about_skill("skill.rollbacks", skill, None, version)
    if about is None:
        return
    edge = _edge("skill.rollbacks", (from_state, to_state), ROLLBACKS)
    if edge is None:
        return
    moved = about | {"skill.promotion.from": edge[0], "skill.promotion.to": edge[1]}
    decided = {"skill.rollback.automated": flag("skill.rollbacks", automated)}

    _rollbacks.add(1, moved | decided)
    _set_state(about, edge[1])
    occurred_ns = timestamp_ns("skill.rollback", timestamp)
    if occurred_ns is None:
        occurred_ns = time.time_ns()
    events.emit(
        "skill.rollback",
        {
            **moved,
            "event_id": event_id or _event_id("rollback", about, occurred_ns),
            **decided,
            "trigger_reason": trigger_reason,
            "trigger_metric": trigger_metric,
        },
        timestamp_ns=occurred_ns,
    )


@never_raises("skill.promotions")
def count_move(move: Mapping[str, object]) -> None:
    """Count a promotion or a rollback that a command made, from its record; there is no event.

    Args:
        move: its record, as it stands in the promotion log.
    """
    about = about_skill("skill.promotions", move["skill_name"], None, None)  # type: ignore[arg-type]  # looked into there
    promoted = move["event_type"] == "promotion"
    metric, edges = ("skill.promotions", PROMOTIONS) if promoted else ("skill.rollbacks", ROLLBACKS)
    edge = _edge(metric, (move["from_state"], move["to_state"]), edges)
    if about is None or edge is None:
        return
    moved = about | {"skill.promotion.from": edge[0], "skill.promotion.to": edge[1]}
    if promoted:
        _promotions.add(1, moved)
    else:
        automated = flag(metric, move["automated"])
        _rollbacks.add(1, moved | {"skill.rollback.automated": automated})
    _set_state(about, edge[1])


@never_raises("skill.state")
def set_state(skill: str, state: State) -> None:
    """Say which state a skill is in, without a move."""
    about = about_skill("skill.state", skill, None, None)
    if about is not None:
        _set_state(about, state)


def states_set() -> Collection[str]:
    """Return the skills of which this process says the state, apart from any version."""
    return list(_states_set)


@never_raises("skill.state")
def forget_state(skill: str) -> None:
    """Say no more which state a skill is in: another process does."""
    _states_set.pop(skill, None)
    for state in STATES:
        _state.forget({"gen_ai.skill.name": skill, "skill.state": state})


def _event_id(kind: str, about: Mapping[str, object], occurred_ns: int) -> str:
    """Return `kind_skill_second`, and from the second of that name on `_2`, `_3`."""
    named = f"{kind}_{about['gen_ai.skill.name']}_{occurred_ns // NS_PER_S}"
    if len(_event_ids) >= EVENT_IDS_MAX:
        _event_ids.clear()
    nth = next(_event_ids.setdefault(named, itertools.count(1)))  # needs no lock, nor does a fork
    return named if nth == 1 else f"{named}_{nth}"


def _edge(
    metric: str, edge: tuple[object, object], edges: Sequence[tuple[State, State]]
) -> tuple[State, State] | None:
    """Return `edge` as one of `edges`; None, counted as rejected, where it is none of them."""
    origin, target = values.label(edge[0]), values.label(edge[1])  # plain text, if it is a text
    for step in edges:
        if step == (origin, target):
            return step
    accepted = ", ".join(f"{origin} to {target}" for origin, target in edges)
    instruments.reject(metric, "no_such_step", accepted)
    return None


def _set_state(about: Mapping[str, object], current: State) -> None:
    if "gen_ai.skill.version" not in about and len(_states_set) < STATES_MAX:
        _states_set[str(about["gen_ai.skill.name"])] = None
    for state in sorted(STATES, key=lambda state: state == current):  # never two that are current
        _state.set(1 if state == current else 0, {**about, "skill.state": state})

"""Sovereignty events: counted by layer and path, their particulars kept, never raising."""

from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import sovereignty
from otel_metrics.testing import Captured, capture

PLACES = {
    "perception_cache_hit": ("perception", "sovereign"),
    "perception_vlm_call": ("perception", "model"),
    "decision_rule_hit": ("decision", "sovereign"),
    "decision_llm_call": ("decision", "model"),
    "narration_template": ("narration", "sovereign"),
    "narration_llm": ("narration", "model"),
}
WITHOUT_A_PLACE = ("skill_crystallized", "api_call", "api_cost")


def test_there_are_nine_event_types() -> None:
    """Six with a layer, three without."""
    assert set(sovereignty.EVENT_TYPES) == {*PLACES, *WITHOUT_A_PLACE}
    assert len(sovereignty.EVENT_TYPES) == 9


@pytest.mark.parametrize("event_type", PLACES)
def test_a_type_counts_under_its_layer_and_path(
    captured_telemetry: Captured, event_type: str
) -> None:
    """A share of sovereign work can be computed for each layer."""
    sovereignty.record(event_type)

    layer, path = PLACES[event_type]
    about = {
        "sovereignty.event.type": event_type,
        "sovereignty.layer": layer,
        "sovereignty.path": path,
    }
    assert captured_telemetry.value("sovereignty.events", about) == 1


@pytest.mark.parametrize("event_type", WITHOUT_A_PLACE)
def test_three_types_have_neither_layer_nor_path(
    captured_telemetry: Captured, event_type: str
) -> None:
    """They are about other things than who did the work."""
    sovereignty.record(event_type)

    about = {"sovereignty.event.type": event_type}
    assert captured_telemetry.value("sovereignty.events", about) == 1


def test_a_skill_that_crystallised_and_an_api_call_have_counters(
    captured_telemetry: Captured,
) -> None:
    """Beside the count by type."""
    sovereignty.record("skill_crystallized")
    sovereignty.record("api_call")
    sovereignty.record("api_call")

    assert captured_telemetry.value("sovereignty.skills.crystallized") == 1
    assert captured_telemetry.value("sovereignty.api.calls") == 2


def test_a_cost_in_the_metadata_is_counted(captured_telemetry: Captured) -> None:
    """Of whatever type of event; in USD."""
    sovereignty.record("api_cost", {"cost_usd": 0.25})
    sovereignty.record("decision_llm_call", {"cost_usd": 0.5})

    assert captured_telemetry.value("sovereignty.api.cost") == 0.75


@pytest.mark.parametrize("cost", [-1, float("nan"), "0.25", [0.25], True, 1e13])
def test_a_cost_that_is_none_is_rejected(cost: object) -> None:
    """The event is recorded all the same."""
    with capture(strict=False) as seen:
        sovereignty.record("api_cost", {"cost_usd": cost})

    assert seen.value("sovereignty.api.cost") == 0
    assert seen.value("metric.rejected") == 1
    assert len(seen.events) == 1


def test_the_particulars_are_in_the_event(captured_telemetry: Captured) -> None:
    """Session and metadata, as one nested map, and in no metric."""
    sovereignty.record("decision_rule_hit", {"rule": "r1", "tags": {"x": 1}}, session_id="s-1")

    assert captured_telemetry.event("sovereignty.decision_rule_hit").attributes == {
        "sovereignty.event.id": ANY,
        "sovereignty.event.type": "decision_rule_hit",
        "sovereignty.layer": "decision",
        "sovereignty.path": "sovereign",
        "session.id": "s-1",
        "metadata": {"rule": "r1", "tags": {"x": 1}},
    }


@pytest.mark.parametrize("event_type", ["decision_rule_hits", "", None, 7, ["api_call"]])
def test_an_unknown_type_is_rejected(event_type: str) -> None:
    """Nothing is recorded, and the service runs on."""
    with capture(strict=False) as seen:
        sovereignty.record(event_type)

    rejected = {"metric": "sovereignty.events", "reason": "unknown_event_type"}
    assert seen.value("metric.rejected", rejected) == 1
    assert seen.events == []


def test_an_unknown_type_is_told_the_nine(captured_telemetry: Captured) -> None:
    """And the one that was probably meant."""
    with pytest.raises(ValueError, match="did you mean decision_rule_hit") as error:
        sovereignty.record("decision_rule_hits")

    assert all(event_type in str(error.value) for event_type in sovereignty.EVENT_TYPES)


class _Broken(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


def _cyclic() -> dict[str, object]:
    cycle: dict[str, object] = {}
    cycle["self"] = cycle
    return cycle


@pytest.mark.parametrize(
    "metadata",
    [
        {"image": object()},
        {"text": "x" * 10_000_000},
        {"lone": "\ud800"},
        {7: {None: {1, 2}}},
        _cyclic(),
        _Broken(),
        "no mapping",
    ],
    ids=["unencodable", "ten megabytes", "surrogate", "odd keys", "cyclic", "broken", "text"],
)
def test_no_metadata_stops_an_event(metadata: dict[str, object]) -> None:
    """It is counted and kept, cut where it must be."""
    with capture(strict=False) as seen:
        sovereignty.record("decision_rule_hit", metadata)

    assert seen.value("sovereignty.events") == 1
    assert len(seen.events) == 1
    assert len(str(seen.events[0].attributes)) < 1_000_000


@given(
    metadata=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("cost_usd"), inner),
        max_leaves=10,
    )
)
def test_any_metadata_is_recorded(metadata: Any) -> None:
    """Once, and without raising."""
    with capture(strict=False) as seen:
        sovereignty.record("api_cost", metadata, session_id=metadata)

    assert seen.value("sovereignty.events") == 1
    assert len(seen.events) == 1

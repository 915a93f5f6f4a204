"""Events: what they carry, what they never carry, and that emitting cannot fail."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_metrics import events
from otel_metrics.catalog.loader import builtin
from otel_metrics.pipeline.logs import make_provider
from otel_metrics.testing import Captured, capture


def test_an_event_keeps_its_name_its_data_and_the_trace(captured_telemetry: Captured) -> None:
    """What happened, with the particulars and the span in which it happened."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    with tracer.start_as_current_span("work") as span:
        events.emit("skill.outcome", {"decision": "a", "nested": {"n": [1, 2.5]}})
        context = span.get_span_context()

    event = captured_telemetry.event("skill.outcome")
    assert event.attributes["decision"] == "a"
    assert (event.trace_id, event.span_id) == (context.trace_id, context.span_id)


def test_an_absent_value_leaves_no_attribute(captured_telemetry: Captured) -> None:
    """None is left out, zero and empty text are not."""
    events.emit("skill.outcome", {"a": None, "b": 0, "c": ""})

    assert dict(captured_telemetry.event("skill.outcome").attributes) == {"b": 0, "c": ""}


def test_a_later_change_changes_no_event(captured_telemetry: Captured) -> None:
    """The data is copied when the call is made."""
    data = {"list": [1]}
    events.emit("skill.outcome", {"data": data})
    data["list"].append(2)

    assert captured_telemetry.event("skill.outcome").attributes["data"] == {"list": (1,)}


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("full", {"reasoning": "since it rained", "gen_ai.skill.name": "x"}),
        ("redacted", {"reasoning": "[redacted]", "gen_ai.skill.name": "x"}),
        ("none", {"gen_ai.skill.name": "x"}),
    ],
)
def test_the_content_rule_decides_what_texts_are_kept(
    content: events.Content, kept: dict[str, str]
) -> None:
    """Reasoning is kept, masked or left out; names are kept in any case."""
    with capture() as seen:
        events.set_content(content)
        events.emit("skill.outcome", {"reasoning": "since it rained", "gen_ai.skill.name": "x"})

    assert dict(seen.event("skill.outcome").attributes) == kept


def test_every_content_attribute_is_in_the_catalog() -> None:
    """The rule names attributes that events really have."""
    used = {key for event in builtin().events.values() for key in event.attributes}

    assert used >= events.CONTENT_ATTRIBUTES


def test_without_a_provider_nothing_happens() -> None:
    """A library may emit in a process that never configured anything."""
    events.emit("skill.outcome", {"a": 1})


class Broken(LogRecordProcessor):
    """A processor of the service's that raises."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        raise RuntimeError("disk on fire")

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def test_a_processor_that_raises_does_not_reach_the_caller() -> None:
    """The failure is counted as a rejection of that event."""
    provider = make_provider(Resource.get_empty())
    provider.add_log_record_processor(Broken())
    with capture(strict=False) as seen:
        events.bind(provider)
        events.emit("skill.outcome", {"a": 1})

    rejected = {"metric": "skill.outcome", "reason": "event_failed"}
    assert seen.value("metric.rejected", rejected) == 1


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary()),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        ),
    )
)
def test_any_data_can_be_emitted(data: dict[str, object]) -> None:
    """Whatever the attributes are, the event arrives and nothing is raised."""
    with capture() as seen:
        events.emit("skill.outcome", data)

    assert [event.name for event in seen.events] == ["skill.outcome"]

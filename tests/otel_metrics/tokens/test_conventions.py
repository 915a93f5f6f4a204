"""What a span says: every spelling of the conventions, old and new, comes to one value."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from otel_metrics.tokens.calls import Call
from otel_metrics.tokens.conventions import (
    Inference,
    Reading,
    Run,
    is_genai_scope,
    is_genai_start,
    read,
)

SEMCONV: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_write.input_tokens": 10,
    "gen_ai.usage.reasoning.output_tokens": 20,
}
SEMCONV_OF_2025: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "OpenAI",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 50,
    "gen_ai.usage.cache_read_input_tokens": 40,
    "gen_ai.usage.cache_creation_input_tokens": 10,
    "gen_ai.usage.reasoning_tokens": 20,
}
OPENLLMETRY_OF_2024: dict[str, AttributeValue] = {
    "llm.request.type": "chat",
    "gen_ai.system": "openai",
    "llm.request.model": "gpt-4o",
    "llm.response.model": "gpt-4o-2024-08-06",
    "llm.usage.prompt_tokens": 100,
    "llm.usage.completion_tokens": 50,
    "llm.usage.cache_read_input_tokens": 40,
    "llm.usage.cache_creation_input_tokens": 10,
    "llm.usage.reasoning_tokens": 20,
}
OPENINFERENCE: dict[str, AttributeValue] = {
    "openinference.span.kind": "LLM",
    "llm.system": "openai",
    "llm.invocation_parameters": '{"model": "gpt-4o"}',
    "llm.model_name": "gpt-4o-2024-08-06",
    "llm.token_count.prompt": 100,
    "llm.token_count.completion": 50,
    "llm.token_count.prompt_details.cache_read": 40,
    "llm.token_count.prompt_details.cache_write": 10,
    "llm.token_count.completion_details.reasoning": 20,
}
LOGFIRE: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.raw": json.dumps(
        {
            "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 20},
            "cache_creation_input_tokens": 10,
        }
    ),
}


def ended(
    attributes: Mapping[str, AttributeValue],
    *,
    name: str = "any",
    scope: str = "any",
    version: str = "1.0",
    **fields: Any,
) -> ReadableSpan:
    """Return a span that took two seconds."""
    about = InstrumentationScope(scope, version)
    times = {"start_time": 1_000_000_000, "end_time": 3_000_000_000}
    return ReadableSpan(name, attributes=attributes, instrumentation_scope=about, **times | fields)


def call(attributes: Mapping[str, AttributeValue], **about: Any) -> Call:
    reading = read(ended(attributes, **about))
    assert isinstance(reading, Inference)
    return reading.call


@pytest.mark.parametrize(
    "attributes",
    [SEMCONV, SEMCONV_OF_2025, OPENLLMETRY_OF_2024, OPENINFERENCE, LOGFIRE],
    ids=["semconv", "semconv-2025", "openllmetry-2024", "openinference", "logfire"],
)
def test_every_convention_says_the_same(attributes: dict[str, AttributeValue]) -> None:
    """The same call comes out of each convention's attributes."""
    assert call(attributes) == Call(
        provider="openai",
        model="gpt-4o",
        response_model="gpt-4o-2024-08-06",
        input=100,
        output=50,
        cache_read=40,
        cache_write=10,
        reasoning=20,
        duration_s=2.0,
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (SEMCONV | {"gen_ai.operation.name": "embeddings"}, "embeddings"),
        (SEMCONV | {"gen_ai.operation.name": "generate_content"}, "generate_content"),
        (SEMCONV | {"gen_ai.operation.name": "transcription"}, "transcription"),
        (OPENINFERENCE | {"openinference.span.kind": "EMBEDDING"}, "embeddings"),
        (OPENLLMETRY_OF_2024 | {"llm.request.type": "completion"}, "text_completion"),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}, "chat"),
    ],
)
def test_the_operation_is_the_conventions(
    attributes: dict[str, AttributeValue], expected: str
) -> None:
    """Other names of an operation, and spans from before operations had names, are known."""
    assert call(attributes).operation == expected


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"http.request.method": "POST"},
        SEMCONV | {"gen_ai.operation.name": "create_agent"},
        SEMCONV | {"gen_ai.operation.name": "invoke_workflow"},
        SEMCONV | {"gen_ai.operation.name": "fetch_response"},
        SEMCONV | {"traceloop.span.kind": "workflow"},
        {"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 7},
        {"openinference.span.kind": "RETRIEVER"},
        {"llm.request.type": "rerank", "gen_ai.system": "cohere"},
        {"gen_ai.operation.name": "vote"},
    ],
)
def test_what_is_no_call_is_left_out(attributes: dict[str, AttributeValue]) -> None:
    """Workflows, chains and plain spans are nothing to count, whatever usage they add up."""
    assert read(ended(attributes)) is None


@pytest.mark.parametrize(
    ("attributes", "about", "expected"),
    [
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "w"}, {}, ("tool", "w")),
        ({"gen_ai.operation.name": "execute_tool"}, {"name": "execute_tool w"}, ("tool", "w")),
        ({"gen_ai.tool.name": "w"}, {"name": "running tool"}, ("tool", "w")),
        ({"openinference.span.kind": "TOOL", "tool.name": "w"}, {}, ("tool", "w")),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "w"}, {}, ("tool", "w")),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}, {}, ("agent", "a")),
        ({"openinference.span.kind": "AGENT"}, {"name": "a"}, ("agent", "a")),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "a"}, {}, ("agent", "a")),
        (
            {"agent_name": "a", "gen_ai.usage.input_tokens": 5},
            {"scope": "pydantic-ai", "name": "agent run"},
            ("agent", "a"),
        ),
    ],
)
def test_tools_and_agents_have_their_names(
    attributes: dict[str, AttributeValue], about: dict[str, str], expected: tuple[str, str]
) -> None:
    """Each convention's tools and agents are known, with name and duration."""
    kind, name = expected
    assert read(ended(attributes, **about)) == Run(kind=kind, name=name, duration_s=2.0)


@pytest.mark.parametrize(
    ("given", "about", "expected"),
    [
        ({"input": 100, "read": 40}, {}, 100),
        ({"input": 12, "read": 1000}, {}, 1012),
        ({"input": 600, "read": 500, "total": 1150, "output": 50}, {}, 1100),
        ({"input": 600, "read": 500, "total": 650, "output": 50}, {}, 600),
        (
            {"input": 600, "read": 500},
            {"scope": "opentelemetry.instrumentation.bedrock", "version": "0.62.4"},
            1100,
        ),
        (
            {"input": 600, "read": 500},
            {"scope": "opentelemetry.instrumentation.bedrock", "version": "0.63.0"},
            600,
        ),
    ],
    ids=["includes", "cannot include", "total says not", "total says", "known", "since mended"],
)
def test_input_always_includes_cached_tokens(
    given: dict[str, int], about: dict[str, str], expected: int
) -> None:
    """Where an instrumentation leaves cached tokens out of the input, they are added."""
    keys = {
        "input": "gen_ai.usage.input_tokens",
        "output": "gen_ai.usage.output_tokens",
        "read": "gen_ai.usage.cache_read.input_tokens",
        "total": "gen_ai.usage.total_tokens",
    }
    usage: dict[str, AttributeValue] = {keys[key]: value for key, value in given.items()}
    usage["gen_ai.operation.name"] = "chat"
    assert call(usage, **about).input == expected


def test_output_always_includes_reasoning() -> None:
    """More reasoning than output means that it was left out (Gemini's candidates)."""
    usage = {"gen_ai.usage.output_tokens": 3, "gen_ai.usage.reasoning.output_tokens": 57}
    assert call(SEMCONV | usage).output == 60


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"llm.usage.total_tokens": 7, "llm.request.type": "embedding"}, (7, None)),
        ({"gen_ai.usage.input_tokens": 5, "gen_ai.usage.total_tokens": 7}, (5, 2)),
        ({"gen_ai.usage.output_tokens": 5, "gen_ai.usage.total_tokens": 7}, (2, 5)),
        ({"gen_ai.usage.total_tokens": 7}, (None, None)),
        ({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, (None, None)),
        ({"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": 2.0}, (None, 2)),
        ({"gen_ai.usage.input_tokens": float("nan")}, (None, None)),
        ({"gen_ai.usage.input_tokens": -1}, (None, None)),
    ],
)
def test_a_total_fills_in_and_nonsense_does_not(
    attributes: dict[str, AttributeValue], expected: tuple[int | None, int | None]
) -> None:
    """A missing side comes from the total; zeros on both sides mean that nothing was told."""
    if "llm.request.type" not in attributes:
        attributes = {"gen_ai.operation.name": "chat", **attributes}
    used = call(attributes)
    assert (used.input, used.output) == expected


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, "text"),
        ({"gen_ai.usage.image.output_tokens": 150}, "image"),
        ({"llm.token_count.prompt_details.audio": 30}, "unknown"),
    ],
)
def test_the_modality_is_said_only_where_it_is_one(
    extra: dict[str, AttributeValue], expected: str
) -> None:
    """Tokens of several kinds in one count are of unknown kind."""
    assert call(SEMCONV | extra).modality == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("Anthropic", "anthropic"),
        ("AWS", "aws.bedrock"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("openai", "openai"),
    ],
)
def test_providers_have_the_names_of_the_conventions(named: str, expected: str) -> None:
    """Names from before the conventions settled come to the settled ones."""
    assert call({"gen_ai.operation.name": "chat", "gen_ai.system": named}).provider == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"status": Status(StatusCode.ERROR)}, "_OTHER"),
        (
            {
                "status": Status(StatusCode.ERROR),
                "events": [Event("exception", {"exception.type": "openai.RateLimitError"})],
            },
            "openai.RateLimitError",
        ),
        ({"events": [Event("exception", {"exception.type": "Handled"})]}, None),
    ],
)
def test_the_error_comes_from_attribute_event_or_status(
    fields: dict[str, Any], expected: str | None
) -> None:
    """A failed call says what failed as far as its span does; a handled exception is no failure."""
    assert call(SEMCONV, **fields).error_type == expected


@pytest.mark.parametrize(
    ("extra", "events"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.5}, ()),
        ({}, (Event("First Token Stream Event", timestamp=1_500_000_000),)),
        ({}, (Event("llm.content.completion.chunk", timestamp=1_500_000_000),)),
    ],
)
def test_the_first_chunk_is_timed(
    extra: dict[str, AttributeValue], events: tuple[Event, ...]
) -> None:
    """By attribute or by event, counted from the request."""
    reading = read(ended(SEMCONV | extra, events=events))
    assert isinstance(reading, Inference)
    assert reading.first_chunk_s == 0.5


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())
)
keys = st.sampled_from(
    sorted(
        {*SEMCONV, *SEMCONV_OF_2025, *OPENLLMETRY_OF_2024, *OPENINFERENCE, *LOGFIRE}
        | {"traceloop.span.kind", "gen_ai.tool.name", "logfire.span_type", "duration"}
    )
)


@settings(max_examples=60)
@given(attributes=st.dictionaries(keys, values))
def test_any_attributes_can_be_read(attributes: dict[str, Any]) -> None:
    """Whatever a span holds, reading it raises nothing, and parts fit in their wholes."""
    reading: Reading = read(ended(attributes))
    if isinstance(reading, Inference):
        used = reading.call
        assert (used.input or 0) >= (used.cache_read or 0) + (used.cache_write or 0)
        assert (used.output or 0) >= (used.reasoning or 0)


@pytest.mark.parametrize(
    "scope",
    [
        "opentelemetry.instrumentation.botocore.bedrock-runtime",
        "opentelemetry.util.genai.handler",
        "strands.telemetry.tracer",
        "gcp.vertex.agent",
        "litellm",
    ],
)
def test_genai_scopes_are_known(scope: str) -> None:
    """The scope of an instrumentation of models or agents is one."""
    assert is_genai_scope(scope)


@pytest.mark.parametrize(
    "scope", ["", "my.service", "opentelemetry.instrumentation.httpx", "csv.writer"]
)
def test_other_scopes_are_not(scope: str) -> None:
    """A service's own scopes, and those of its clients, are left to its sampler."""
    assert not is_genai_scope(scope)


def test_every_recorded_scope_is_known(scenario: str, recording: Any) -> None:
    """Spans of every instrumentation we recorded survive any sampler."""
    assert [
        span["scope"]["name"]
        for span in recording.spans
        if not is_genai_scope(span["scope"]["name"])
        and not is_genai_start(span["at_start"]["name"], span["at_start"]["attributes"])
    ] == []

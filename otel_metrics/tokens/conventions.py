"""What a finished span says, whatever convention it follows: a model call, a tool, an agent.

Pure: a span in, one value out. The conventions are data below, newest spelling first. Read from
the sources of, and tested with spans of: OpenTelemetry's own instrumentations (util-genai 1.3b0,
openai-v2 2.4b0), OpenLLMetry 0.45 and 0.62, OpenInference (openai 0.1.66, anthropic 3.1, langchain
0.1.80), Logfire 5.2, pydantic-ai 2.68, and the Anthropic client 2.11, which makes spans itself.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_metrics.tokens.calls import Call
from otel_metrics.tokens.usage import has_input, usage_of

__all__ = ["Inference", "Reading", "Run", "is_genai_scope", "is_genai_start", "read"]

Attributes = Mapping[str, object]

# Every operation of the conventions that is no model call, though it may carry the usage of some.
_NO_CALLS: Final = frozenset(
    {
        "create_agent",
        "create_memory",
        "delete_memory",
        "execute_task",
        "execute_tool",
        "fetch_response",
        "invoke_agent",
        "invoke_workflow",
        "plan",
        "rerank",
        "retrieval",
        "search_memory",
        "update_memory",
    }
)
_OPERATIONS: Final = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "embeddings": "embeddings",
    "generate_content": "generate_content",
    "text_completion": "text_completion",
}
"""Operations that are model calls, by each of their names."""
_SPAN_KINDS: Final = {"LLM": "chat", "EMBEDDING": "embeddings"}
"""`openinference.span.kind` of model calls."""

_PROVIDER: Final = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_REQUEST_MODEL: Final = ("gen_ai.request.model", "llm.request.model_name", "llm.request.model")
_RESPONSE_MODEL: Final = (
    "gen_ai.response.model",
    "llm.response.model_name",
    "llm.response.model",
    "llm.model_name",
    "embedding.model_name",
)
_FIRST_CHUNK: Final = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.response.time_to_first_token",
)
_CHUNK_EVENTS: Final = frozenset(
    {"First Token Stream Event", "gen_ai.content.completion.chunk", "llm.content.completion.chunk"}
)
_TOOL_NAME: Final = ("gen_ai.tool.name", "tool.name", "tool_call.function.name")
_AGENT_NAME: Final = ("gen_ai.agent.name", "agent.name", "agent_name", "graph.node.name")
_ENTITY_NAME: Final = "traceloop.entity.name"

_SETTLED_NAMES: Final = {
    "aws": "aws.bedrock",
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistralai": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Providers whose name was another before the conventions settled."""

_SCOPE: Final = re.compile(
    r"(^|[._/-])(ag2|agno|alephalpha|anthropic|autogen|beeai|bedrock|bedrock-runtime|cohere|crewai"
    r"|dspy|gcp\.vertex\.agent|gen_?ai|google_?adk|google_generativeai|groq|haystack|langchain"
    r"|langfuse|langgraph|langsmith|litellm|llama_?index|llm|mcp|mistralai|ollama|openai"
    r"|openai_agents|openai_v2|openinference|openlit|pydantic[-_]ai|semantic[-_]?kernel|smolagents"
    r"|strands|traceloop|vertexai|voyageai|watsonx"
    r"|instrumentation\.(replicate|sagemaker|together|transformers|writer))($|[._/-])",
    re.IGNORECASE,
)
_START_KEYS: Final = ("gen_ai.", "llm.", "openinference.", "traceloop.")
_KEYS: Final = (*_START_KEYS, "agent_name")
_START_NAMES: Final = (
    "chat ",
    "embeddings ",
    "execute_tool ",
    "generate_content ",
    "invoke_agent ",
    "text_completion ",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A model call, as its span describes it.

    Attributes:
        call: what the recorder counts.
        response_id: the provider's id of the answer.
        first_chunk_s: seconds from the request to the first chunk of a streamed answer.
    """

    call: Call
    response_id: str | None = None
    first_chunk_s: float | None = None

    @property
    def has_usage(self) -> bool:
        return self.call.input is not None or self.call.output is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a tool or of an agent.

    Attributes:
        kind: `tool` or `agent`.
        name: the tool's or the agent's.
        duration_s: seconds.
        error_type: class of the error that ended it.
    """

    kind: str
    name: str
    duration_s: float
    error_type: str | None = None


Reading = Inference | Run | None


def is_genai_scope(name: object) -> bool:
    """Tell whether an instrumentation scope is one whose spans are about models and agents."""
    return isinstance(name, str) and _SCOPE.search(name) is not None


def is_genai_start(name: object, attributes: Attributes | None) -> bool:
    """Tell from what a span has at its start whether it is about models and agents.

    Names and keys that are no text are none of ours: the SDK says what it thinks of them.
    """
    if isinstance(name, str) and name.startswith(_START_NAMES):
        return True
    keys: Iterable[object] = attributes or ()
    return any(isinstance(key, str) and key.startswith(_START_KEYS) for key in keys)


def read(span: ReadableSpan) -> Reading:
    """Return what an ended span is about, or None where it is nothing that is counted."""
    # A copy: each look into the SDK's own mapping takes its lock, and misses raise inside.
    attributes: Attributes = dict(span.attributes or {})
    if not any(key.startswith(_KEYS) for key in attributes):
        return None
    kind = _kind(span, attributes)
    if kind in ("tool", "agent"):
        return _run(kind, span, attributes)
    if kind is None or _is_begun_stream(span, attributes):
        return None
    return _inference(kind, span, attributes)


def _kind(span: ReadableSpan, attributes: Attributes) -> str | None:
    """Return `tool`, `agent`, the operation of a model call, or None."""
    entity = attributes.get("traceloop.span.kind")
    if entity is not None:
        # OpenLLMetry's workflows say `invoke_agent`, too, inside the agent's own span.
        return str(entity) if entity in ("tool", "agent") else None
    operation = attributes.get("gen_ai.operation.name")
    if isinstance(operation, str):
        return _kind_of_operation(operation, attributes)
    span_kind = attributes.get("openinference.span.kind")
    if isinstance(span_kind, str):
        return _kind_of_openinference(span_kind.upper())
    request_type = attributes.get("llm.request.type")
    if isinstance(request_type, str):
        # OpenLLMetry of 2025 calls Anthropic's messages completions, in a span `anthropic.chat`.
        is_chat = request_type == "completion" and span.name.endswith(".chat")
        return "chat" if is_chat else _OPERATIONS.get(request_type)
    return _kind_of_unnamed(span, attributes)


def _kind_of_operation(operation: str, attributes: Attributes) -> str | None:
    if operation == "execute_tool":
        return "tool"
    if operation == "invoke_agent":
        return "agent"
    if operation in _NO_CALLS:
        return None
    known = _OPERATIONS.get(operation)
    if known is not None:
        return known
    used = has_input(attributes)
    return operation if used and _first_text(attributes, _REQUEST_MODEL) else None


def _kind_of_openinference(span_kind: str) -> str | None:
    if span_kind in ("TOOL", "AGENT"):
        return span_kind.lower()
    return _SPAN_KINDS.get(span_kind)


def _kind_of_unnamed(span: ReadableSpan, attributes: Attributes) -> str | None:
    """Judge a span of the time before operations had names."""
    if "gen_ai.tool.name" in attributes:
        return "tool"
    if _scope(span).startswith("pydantic-ai") and "agent_name" in attributes:
        return "agent"
    has_provider = "gen_ai.system" in attributes or "gen_ai.provider.name" in attributes
    models = ("gen_ai.request.model", "gen_ai.response.model")
    if has_provider and _first_text(attributes, models):
        return "embeddings" if "embedding" in span.name.lower() else "chat"
    return "agent" if has_provider and "gen_ai.agent.name" in attributes else None


def _is_begun_stream(span: ReadableSpan, attributes: Attributes) -> bool:
    """Tell whether this is Logfire's span of a streamed request, over before the answer begins.

    The call is in the log (a span without duration) that Logfire writes when the stream ends.
    """
    return (
        _scope(span) in ("logfire.openai", "logfire.anthropic")
        and attributes.get("logfire.span_type") == "span"
        and _error_type(span, attributes) is None
        and not has_input(attributes)
        and "gen_ai.response.id" not in attributes
        and "gen_ai.response.finish_reasons" not in attributes
    )


def _run(kind: str, span: ReadableSpan, attributes: Attributes) -> Run:
    keys = _TOOL_NAME if kind == "tool" else _AGENT_NAME
    name = _first_text(attributes, (*keys, _ENTITY_NAME))
    prefix = "execute_tool " if kind == "tool" else "invoke_agent "
    return Run(
        kind=kind,
        name=name or span.name.removeprefix(prefix),
        duration_s=_duration_s(span, attributes),
        error_type=_error_type(span, attributes),
    )


def _inference(operation: str, span: ReadableSpan, attributes: Attributes) -> Inference:
    parameters = attributes.get("llm.invocation_parameters")
    response_model = _first_text(attributes, _RESPONSE_MODEL)
    model = _first_text(attributes, _REQUEST_MODEL) or _model_of(parameters) or response_model
    usage = usage_of(span, operation, attributes)
    call = Call(
        provider=_provider(attributes),
        model=model,
        response_model=response_model,
        operation=operation,
        modality=usage.modality,
        input=usage.input,
        output=usage.output,
        cache_read=usage.cache_read,
        cache_write=usage.cache_write,
        reasoning=usage.reasoning,
        duration_s=_duration_s(span, attributes),
        error_type=_error_type(span, attributes),
    )
    response_id = attributes.get("gen_ai.response.id")
    return Inference(
        call=call,
        response_id=response_id if isinstance(response_id, str) else None,
        first_chunk_s=_first_chunk_s(span, attributes),
    )


def _provider(attributes: Attributes) -> str | None:
    name = _first_text(attributes, _PROVIDER)
    if name is None:
        return None
    plain = name.lower()
    return _SETTLED_NAMES.get(plain, plain)


def _model_of(parameters: object) -> str | None:
    """Return the model that OpenInference's parameters of the request name."""
    if not isinstance(parameters, str):
        return None
    try:
        given = json.loads(parameters)
    except ValueError:
        return None
    return _first_text(given, ("model", "model_name")) if isinstance(given, dict) else None


def _first_chunk_s(span: ReadableSpan, attributes: Attributes) -> float | None:
    for key in _FIRST_CHUNK:
        value = attributes.get(key)
        if isinstance(value, int | float) and value >= 0:
            return float(value)
    for event in span.events:
        if event.name in _CHUNK_EVENTS and span.start_time is not None:
            return max(event.timestamp - span.start_time, 0) / 1e9
    return None


def _duration_s(span: ReadableSpan, attributes: Attributes) -> float:
    logged = attributes.get("duration")
    if attributes.get("logfire.span_type") == "log" and isinstance(logged, int | float):
        return float(logged)
    if span.start_time is None or span.end_time is None:
        return 0.0
    return max(span.end_time - span.start_time, 0) / 1e9


def _error_type(span: ReadableSpan, attributes: Attributes) -> str | None:
    given = attributes.get("error.type")
    if isinstance(given, str) and given:
        return given
    if span.status.status_code is not StatusCode.ERROR:
        return None
    for event in reversed(span.events):
        kind = (event.attributes or {}).get("exception.type")
        if event.name == "exception" and isinstance(kind, str):
            return kind
    return "_OTHER"


def _scope(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope else ""


def _first_text(attributes: Attributes, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str) and value:
            return value
    return None

"""What a finished span says, whatever convention it follows: a model call, a tool, an agent.

Pure: a span in, one value out. The conventions are data below, newest spelling first. Read from
the sources of, and tested with spans of: OpenTelemetry's own instrumentations (util-genai 1.3b0,
openai-v2 2.4b0), OpenLLMetry 0.45 and 0.62, OpenInference (openai 0.1.66, anthropic 3.1, langchain
0.1.80), Logfire 5.2, pydantic-ai 2.68, and the Anthropic client 2.11, which makes spans itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_metrics.tokens.calls import Call

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
_INPUT: Final = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
)
_OUTPUT: Final = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.token_count.completion",
)
_TOTAL: Final = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")
_CACHE_READ: Final = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "llm.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_CACHE_WRITE: Final = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "llm.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_REASONING: Final = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)
_RAW_USAGE: Final = "gen_ai.usage.raw"
"""Logfire's: the provider's own usage as JSON, the only place where it keeps cached tokens."""
_RAW_CACHE_READ: Final = (
    "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens",
    "cache_read_input_tokens",
)
_RAW_CACHE_WRITE: Final = ("cache_creation_input_tokens",)
_RAW_REASONING: Final = (
    "completion_tokens_details.reasoning_tokens",
    "output_tokens_details.reasoning_tokens",
)
_OTHER_MODALITIES: Final = {
    "audio": (
        "gen_ai.usage.audio.input_tokens",
        "gen_ai.usage.audio.output_tokens",
        "llm.token_count.prompt_details.audio",
        "llm.token_count.completion_details.audio",
    ),
    "image": ("gen_ai.usage.image.input_tokens", "gen_ai.usage.image.output_tokens"),
}
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

_EXCLUSIVE: Final = {"opentelemetry.instrumentation.bedrock": (0, 62, 4)}
"""Scopes whose input tokens leave the cached ones out, and the last release known to do so.

AWS leaves them out and OpenLLMetry passes that on (traceloop/openllmetry#4449); Anthropic leaves
them out, too, but every instrumentation of it adds them: OpenLLMetry, OpenInference, pydantic-ai,
Logfire since 4.31.0 (which had no cached counts before), OpenTelemetry's, the client's own.
"""
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


def is_genai_scope(name: str) -> bool:
    """Tell whether an instrumentation scope is one whose spans are about models and agents."""
    return _SCOPE.search(name) is not None


def is_genai_start(name: str, attributes: Attributes | None) -> bool:
    """Tell from what a span has at its start whether it is about models and agents."""
    return name.startswith(_START_NAMES) or any(
        key.startswith(_START_KEYS) for key in attributes or ()
    )


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
    used = _first_count(attributes, _INPUT) is not None
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
        and _first_count(attributes, _INPUT) is None
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
    usage = _usage(operation, span, attributes)
    call = Call(
        provider=_provider(attributes),
        model=model,
        response_model=response_model,
        operation=operation,
        modality=_modality(usage, attributes),
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


@dataclass(slots=True)
class _Usage:
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


def _usage(operation: str, span: ReadableSpan, attributes: Attributes) -> _Usage:
    """Return the tokens of a call: input with the cached ones, output with reasoning."""
    usage = _Usage(
        input=_first_count(attributes, _INPUT),
        output=_first_count(attributes, _OUTPUT),
        cache_read=_first_count(attributes, _CACHE_READ),
        cache_write=_first_count(attributes, _CACHE_WRITE),
        reasoning=_first_count(attributes, _REASONING),
    )
    total = _first_count(attributes, _TOTAL)
    _fill_from_total(usage, total, operation)
    _fill_from_raw(usage, attributes.get(_RAW_USAGE))
    if not usage.input and not usage.output:
        return _Usage()  # zeros are what some instrumentations write where no usage came
    _include_parts(usage, total, is_exclusive=_is_exclusive(span))
    return usage


def _fill_from_total(usage: _Usage, total: int | None, operation: str) -> None:
    if not total:
        return
    if usage.input is None and usage.output is None:
        usage.input = total if operation == "embeddings" else None
    elif usage.input is None and usage.output is not None:
        usage.input = max(total - usage.output, 0)
    elif usage.output is None and usage.input is not None and total > usage.input:
        usage.output = total - usage.input


def _fill_from_raw(usage: _Usage, raw: object) -> None:
    if not isinstance(raw, str) or usage.input is None:
        return
    try:
        given = json.loads(raw)
    except ValueError:
        return
    if usage.cache_read is None:
        usage.cache_read = _first_inner_count(given, _RAW_CACHE_READ)
    if usage.cache_write is None:
        usage.cache_write = _first_inner_count(given, _RAW_CACHE_WRITE)
    if usage.reasoning is None:
        usage.reasoning = _first_inner_count(given, _RAW_REASONING)


def _include_parts(usage: _Usage, total: int | None, *, is_exclusive: bool) -> None:
    """Add what the span keeps apart: cached tokens to the input, reasoning to the output.

    It does where a part is greater than its whole, where only so the total comes out, and where
    the instrumentation is known for it.
    """
    whole, answer = usage.input or 0, usage.output or 0
    cached = (usage.cache_read or 0) + (usage.cache_write or 0)
    reasoning = usage.reasoning or 0
    if cached and (is_exclusive or cached > whole or total == whole + answer + cached):
        usage.input = whole + cached
    if reasoning and (reasoning > answer or total == whole + answer + reasoning):
        usage.output = answer + reasoning


def _is_exclusive(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    last = _EXCLUSIVE.get(scope.name) if scope else None
    if scope is None or last is None:
        return False
    return _version(scope.version or "") <= last


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _modality(usage: _Usage, attributes: Attributes) -> str:
    """Return the one kind of content that the tokens stand for; `unknown` where they are mixed."""
    all_tokens = (usage.input or 0) + (usage.output or 0)
    for modality, keys in _OTHER_MODALITIES.items():
        tokens = sum(_count(attributes.get(key)) or 0 for key in keys)
        if tokens:
            return modality if tokens >= all_tokens else "unknown"
    return "text"


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


def _first_count(attributes: Attributes, keys: tuple[str, ...]) -> int | None:
    for key in keys:
        value = _count(attributes.get(key))
        if value is not None:
            return value
    return None


def _first_inner_count(given: object, paths: tuple[str, ...]) -> int | None:
    for path in paths:
        value = given
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        found = _count(value)
        if found is not None:
            return found
    return None


def _count(value: object) -> int | None:
    """Return a count of tokens, or None for what cannot be one (NaN and infinities neither)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**53 else None

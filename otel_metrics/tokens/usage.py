"""The tokens of a model call, out of its span's attributes.

Input comes with the cached ones and output with reasoning, whatever the instrumentation leaves
out. Pure: the spellings are data, newest first, and what each instrumentation does is said there.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["Usage", "has_input", "usage_of"]

Attributes = Mapping[str, object]

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
_EXCLUSIVE: Final = {"opentelemetry.instrumentation.bedrock": (0, 62, 4)}
"""Scopes whose input tokens leave the cached ones out, and the last release known to do so.

AWS leaves them out and OpenLLMetry passes that on (traceloop/openllmetry#4449); Anthropic leaves
them out, too, but every instrumentation of it adds them: OpenLLMetry, OpenInference, pydantic-ai,
Logfire since 4.31.0 (which had no cached counts before), OpenTelemetry's, the client's own.
"""


@dataclass(slots=True)
class Usage:
    """Tokens by kind, None where the span does not say, and what they stand for."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    modality: str = "text"


def usage_of(span: ReadableSpan, operation: str, attributes: Attributes) -> Usage:
    """Return the tokens of a call: input with the cached ones, output with reasoning."""
    usage = Usage(
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
        return Usage()  # zeros are what some instrumentations write where no usage came
    _include_parts(usage, total, is_exclusive=_is_exclusive(span))
    usage.modality = _modality(usage, attributes)
    return usage


def has_input(attributes: Attributes) -> bool:
    """Tell whether the span says how many tokens went in."""
    return _first_count(attributes, _INPUT) is not None


def _fill_from_total(usage: Usage, total: int | None, operation: str) -> None:
    if not total:
        return
    if usage.input is None and usage.output is None:
        usage.input = total if operation == "embeddings" else None
    elif usage.input is None and usage.output is not None:
        usage.input = max(total - usage.output, 0)
    elif usage.output is None and usage.input is not None and total > usage.input:
        usage.output = total - usage.input


def _fill_from_raw(usage: Usage, raw: object) -> None:
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


def _include_parts(usage: Usage, total: int | None, *, is_exclusive: bool) -> None:
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


def _modality(usage: Usage, attributes: Attributes) -> str:
    """Return the one kind of content that the tokens stand for; `unknown` where they are mixed."""
    all_tokens = (usage.input or 0) + (usage.output or 0)
    for modality, keys in _OTHER_MODALITIES.items():
        tokens = sum(_count(attributes.get(key)) or 0 for key in keys)
        if tokens:
            return modality if tokens >= all_tokens else "unknown"
    return "text"


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

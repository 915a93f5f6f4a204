"""Says what a model call used, from where the call was made. Nothing here raises.

Calls that are read out of spans are counted by `calls.count_call`, which notes no span.
"""

from opentelemetry import trace

from otel_metrics import values
from otel_metrics.amounts import never_raises
from otel_metrics.tokens import once
from otel_metrics.tokens.calls import Call, count_call
from otel_metrics.tokens.responses import read_usage

__all__ = ["record", "record_response"]


@never_raises("gen_ai.client.inference.usage.input_tokens")
def record(
    *,
    provider: str,
    model: str,
    response_model: str | None = None,
    operation: str = "chat",
    modality: str = "text",
    input: int | None = None,  # noqa: A002  # the conventions' word
    output: int | None = None,
    cache_read: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
    duration_s: float | None = None,
    error_type: str | None = None,
    cost_usd: float | None = None,
) -> None:
    """Count a model call: its tokens, its duration, its cost.

    Call it once for each call, failed ones included, from where the call was made. The cost is
    `cost_usd`, else computed from the installed price table; where that has no price, the tokens
    count as `llm.unpriced_tokens`. Inside `skills.execution(...)` the cost is also the skill's.
    A call whose answer said nothing of tokens counts 0 of modality `unknown`.

    Args:
        provider: as `gen_ai.provider.name` has it: `openai`, `anthropic`, `aws.bedrock`.
        model: the model that was asked for.
        response_model: the model that answered.
        operation: `chat`, `embeddings`, `generate_content`, `text_completion`.
        modality: what the tokens stand for: text, image, audio, video or unknown.
        input: tokens in, cached ones included; less than its parts is rejected.
        output: tokens out, reasoning included; less than its part is rejected.
        cache_read: of the input, taken from the provider's cache.
        cache_write: of the input, written into the provider's cache.
        reasoning: of the output, spent on reasoning.
        duration_s: seconds from request to last byte.
        error_type: class of the error that ended the call.
        cost_usd: what the provider charges, in USD.

    Example:
        >>> from otel_metrics import tokens
        >>> tokens.record(
        ...     provider="anthropic", model="claude-sonnet-4-5",
        ...     input=1200, cache_read=1000, output=80, duration_s=1.4,
        ... )
    """
    _note_span()
    count_call(
        Call(
            provider=provider,
            model=model,
            response_model=response_model,
            operation=operation,
            modality=modality,
            input=input,
            output=output,
            cache_read=cache_read,
            cache_write=cache_write,
            reasoning=reasoning,
            duration_s=duration_s,
            error_type=error_type,
            cost_usd=cost_usd,
        )
    )


@never_raises("gen_ai.client.inference.usage.input_tokens")
def record_response(
    response: object,
    *,
    provider: str,
    model: str | None = None,
    operation: str | None = None,
    modality: str = "text",
    duration_s: float | None = None,
    cost_usd: float | None = None,
) -> None:
    """Count a model call by the response that came back: the client library's object, or a dict.

    The prices of what a response breaks down (audio, cache entries by lifetime) are kept apart.

    Args:
        response: of OpenAI (chat, responses, embeddings), Anthropic, Google, Mistral, Bedrock
            and others, or of a service that speaks their format; of a stream, the part that has
            the usage.
        provider: as `gen_ai.provider.name` has it.
        model: the model that was asked for; by default the one that answered.
        operation: by default `embeddings` for an embedding, else `chat`.
        modality: what the tokens stand for: text, image, audio, video or unknown.
        duration_s: seconds from request to last byte.
        cost_usd: what the provider charges, in USD.

    Example:
        >>> from otel_metrics import tokens
        >>> answer = {"model": "gpt-4o", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
        >>> tokens.record_response(answer, provider="openai")
    """
    _note_span()
    read = read_usage(response, str(values.label(provider)))
    counts = read.counts
    count_call(
        Call(
            provider=provider,
            model=read.model if model is None else model,
            response_model=read.model,
            operation=read.operation if operation is None else operation,
            modality=modality,
            input=counts.get("input_tokens"),
            output=counts.get("output_tokens"),
            cache_read=counts.get("cache_read_tokens"),
            cache_write=counts.get("cache_write_tokens"),
            reasoning=counts.get("output_reasoning_tokens"),
            duration_s=duration_s,
            cost_usd=cost_usd,
            detail=counts,
        )
    )


def _note_span() -> None:
    """Let the span processor know that the call of the current span is counted."""
    span = trace.get_current_span()
    if span.is_recording():
        once.note(span.get_span_context().span_id)

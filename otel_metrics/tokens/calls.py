"""Counts one model call: its tokens, its duration, and what it cost.

Nothing here raises. Counts follow the GenAI conventions: `input` includes cached tokens, `output`
includes reasoning. A call that failed counts too; a cost that nobody knows is no cost of zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from otel_metrics import instruments, values
from otel_metrics.amounts import amount, count, flag, never_raises
from otel_metrics.skills import current_execution
from otel_metrics.tokens import pricing

__all__ = ["Call", "configure", "count_call"]

MODALITIES: Final = ("text", "image", "audio", "video", "unknown")
"""Kinds of content that tokens stand for."""
UNNAMED: Final = "unknown"
"""The provider or model of a call that came without one."""

_USAGE: Final = "gen_ai.client.inference.usage."
_input = instruments.metric(f"{_USAGE}input_tokens")
_output = instruments.metric(f"{_USAGE}output_tokens")
_cache_read = instruments.metric(f"{_USAGE}cache_read.input_tokens")
_cache_write = instruments.metric(f"{_USAGE}cache_write.input_tokens")
_reasoning = instruments.metric(f"{_USAGE}reasoning.output_tokens")
_duration = instruments.metric("gen_ai.client.inference.duration")
_token_usage = instruments.metric("gen_ai.client.token.usage")
_usage_missing = instruments.metric("gen_ai.usage.missing")
_tokens_used = instruments.metric("pforge.tokens.used")
_cost = instruments.metric("llm.cost")
_unpriced = instruments.metric("llm.unpriced_tokens")

_older_names = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One model call, as its caller or its span describes it.

    Attributes:
        provider: as `gen_ai.provider.name` has it: `openai`, `aws.bedrock`.
        model: the model that was asked for.
        response_model: the model that answered.
        operation: `chat`, `embeddings`, `generate_content`, `text_completion`.
        modality: what the tokens stand for, one of `MODALITIES`.
        input: tokens in, cached ones included.
        output: tokens out, reasoning included.
        cache_read: of the input, taken from the provider's cache.
        cache_write: of the input, written into the provider's cache.
        reasoning: of the output, spent on reasoning.
        duration_s: seconds from request to last byte.
        error_type: class of the error that ended the call.
        cost_usd: what the provider charges, in USD, where the caller knows.
        detail: finer counts that a price may depend on, by the names of `pricing.price`.
    """

    provider: str | None
    model: str | None
    response_model: str | None = None
    operation: str = "chat"
    modality: str = "text"
    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None
    duration_s: float | None = None
    error_type: str | None = None
    cost_usd: float | None = None
    detail: Mapping[str, int | float] = field(default_factory=dict)


def configure(*, older_names: bool) -> None:
    """Record the older `gen_ai.client.token.usage` beside the new names, or not.

    Args:
        older_names: False where `OTEL_SEMCONV_STABILITY_OPT_IN` holds
            `gen_ai_latest_experimental`.
    """
    global _older_names
    given = flag("gen_ai.client.token.usage", older_names)
    if given is not None:
        _older_names = given


@never_raises("gen_ai.client.inference.usage.input_tokens")
def count_call(call: Call) -> None:
    """Count a call, whatever span is current: for whoever reads calls out of spans."""
    call = replace(
        call,
        provider=_text(call.provider) or UNNAMED,
        model=_text(call.model),
        response_model=_text(call.response_model),
        modality=_modality(call.modality),
    )
    about = _about(call)
    failed = {} if call.error_type is None else {"error.type": call.error_type}
    incoming = _side("input", call.input, call.cache_read, call.cache_write)
    outgoing = _side("output", call.output, call.reasoning)

    if incoming.is_silent and outgoing.is_silent:
        _count_without_usage(call, about)
    else:
        _count_tokens(call, about, failed, incoming, outgoing)
    if call.duration_s is not None:
        _duration.record(call.duration_s, about | failed)
    _count_cost(call, about, incoming, outgoing)


@dataclass(frozen=True, slots=True)
class _Side:
    """The tokens of one direction: all of them, then parts of them; None where not known."""

    total: int | None
    parts: Sequence[int | None]
    is_silent: bool
    is_sound: bool


def _side(name: str, total: object, *parts: object) -> _Side:
    """Check the counts of one direction. What cannot be right is left out whole, and counted."""
    given = [part is not None for part in (total, *parts)]
    metric = f"{_USAGE}{name}_tokens"
    taken = [None if value is None else count(metric, value) for value in (total, *parts)]
    all_of, parts_of = taken[0], taken[1:]
    if any(was and value is None for was, value in zip(given, taken, strict=True)):
        return _Side(None, [], is_silent=False, is_sound=False)
    if sum(part or 0 for part in parts_of) > (all_of or 0):
        accepted = "input that includes cache_read and cache_write, output that includes reasoning"
        instruments.reject(metric, "less_than_its_parts", accepted)
        return _Side(None, [], is_silent=False, is_sound=False)
    return _Side(all_of, parts_of, is_silent=not any(given), is_sound=True)


def _about(call: Call) -> dict[str, object]:
    about: dict[str, object] = {
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": call.provider or UNNAMED,
    }
    if call.model is not None:
        about["gen_ai.request.model"] = call.model
    if call.response_model is not None:
        about["gen_ai.response.model"] = call.response_model
    return about


def _count_without_usage(call: Call, about: Mapping[str, object]) -> None:
    unknown = {**about, "gen_ai.token.modality": "unknown"}
    _input.add(0, unknown)
    _output.add(0, unknown)
    if call.error_type is None:  # a call that failed has nothing to say of its usage
        _usage_missing.add(1, _of_model(about))


def _count_tokens(
    call: Call,
    about: Mapping[str, object],
    failed: Mapping[str, object],
    incoming: _Side,
    outgoing: _Side,
) -> None:
    of_modality = {**about, "gen_ai.token.modality": call.modality}
    counts = (
        (_input, incoming.total),
        (_output, outgoing.total),
        *zip((_cache_read, _cache_write), incoming.parts, strict=False),
        *zip((_reasoning,), outgoing.parts, strict=False),
    )
    for handle, tokens in counts:
        if tokens is not None:
            handle.add(tokens, of_modality)
    for kind, side in (("input", incoming), ("output", outgoing)):
        if _older_names and side.total is not None:
            _token_usage.record(side.total, {**about, "gen_ai.token.type": kind, **failed})
    _tokens_used.add(
        (incoming.total or 0) + (outgoing.total or 0),
        {"vendor": call.provider or UNNAMED, "model": call.model or UNNAMED},
    )


def _count_cost(call: Call, about: Mapping[str, object], incoming: _Side, outgoing: _Side) -> None:
    tokens = (incoming.total or 0) + (outgoing.total or 0)
    cost_usd = None if call.cost_usd is None else amount("llm.cost", call.cost_usd)
    source = "provider"
    if cost_usd is None and tokens and incoming.is_sound and outgoing.is_sound:
        models = (call.response_model, call.model)
        usage = call.detail or _priced_counts(call, incoming, outgoing)
        cost_usd = pricing.price(call.provider or UNNAMED, models, usage)
        source = "local"
    if cost_usd is None:
        if tokens:
            _unpriced.add(tokens, _of_model(about))
        return
    _cost.add(cost_usd, {**_of_model(about), "cost.source": source})
    run = current_execution()
    if run is not None:
        run.add_cost(cost_usd)


def _priced_counts(call: Call, incoming: _Side, outgoing: _Side) -> dict[str, int | float]:
    """Return the counts by the names of the price table, those of the modality, too."""
    cache_read, cache_write = incoming.parts
    (reasoning,) = outgoing.parts
    counts = {
        "input_tokens": incoming.total,
        "output_tokens": outgoing.total,
        "cache_read_tokens": cache_read,
        "cache_write_tokens": cache_write,
        "output_reasoning_tokens": reasoning,
    }
    if call.modality in ("audio", "image", "video"):
        counts |= {
            f"input_{call.modality}_tokens": incoming.total,
            f"output_{call.modality}_tokens": outgoing.total,
            f"cache_{call.modality}_read_tokens": cache_read,
        }
    return {name: tokens for name, tokens in counts.items() if tokens is not None}


def _text(name: object) -> str | None:
    """Return a name as plain text, as the caller's client may not; None where there is none."""
    return None if name is None else str(values.label(name)) or None


def _of_model(about: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in about.items() if key != "gen_ai.operation.name"}


def _modality(given: object) -> str:
    plain = _text(given)
    if plain in MODALITIES:
        return plain
    instruments.reject(f"{_USAGE}input_tokens", "unknown_modality", ", ".join(MODALITIES))
    return "unknown"

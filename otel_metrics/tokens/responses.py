"""Reads the usage out of a provider's response: the object of its client library, or plain data.

Which field means what is data of `genai-prices`; here is only how to look into any object, and
which of a provider's several formats a response is in. Nothing here raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from otel_metrics.tokens import pricing

if TYPE_CHECKING:
    from genai_prices.types import UsageExtractor

__all__ = ["ResponseUsage", "read_usage"]

_FORMATS: Final = ("openai", "anthropic", "google", "aws")
"""Whose formats to try where a provider has none of its own: most speak OpenAI's."""
_BILLED: Final = {"cohere": "default"}
"""The format that says what is billed, where a response has two and they differ."""


@dataclass(frozen=True, slots=True)
class ResponseUsage:
    """What a response says of its usage.

    Attributes:
        model: the model that answered.
        operation: `embeddings`, or `chat`.
        counts: by the names of `pricing.price`; empty where the response says nothing.
    """

    model: str | None = None
    operation: str = "chat"
    counts: Mapping[str, int | float] = field(default_factory=dict)


def read_usage(response: object, provider: str) -> ResponseUsage:
    """Return what `response` says of its usage and its model.

    Args:
        response: OpenAI's (chat, responses, embeddings), Anthropic's, Google's, Mistral's,
            Bedrock's and others', or of a service that speaks their format.
        provider: as `gen_ai.provider.name` has it.
    """
    view = _View(response)
    best = ResponseUsage(model=_model(view))
    best_rank = (False, 0)
    own = pricing.usage_extractors(provider)
    formats = own or [pair for name in _FORMATS for pair in pricing.usage_extractors(name)]
    for flavour, extractor in formats:
        read = _extract(extractor, view)
        rank = (_BILLED.get(provider.lower()) == flavour, len(read.counts))
        if read.counts and rank > best_rank:  # the format that says most is the response's own
            operation = "embeddings" if flavour == "embeddings" else "chat"
            best = ResponseUsage(read.model or best.model, operation, read.counts)
            best_rank = rank
    return best


def _extract(extractor: "UsageExtractor", view: "_View") -> ResponseUsage:
    try:
        model, usage = extractor.extract(view)
        counts = {key: _number(usage.reported_value(key)) for key in vars(usage)}
        return ResponseUsage(model=model, counts=counts)
    except Exception:  # noqa: BLE001  # another format, or an object that will not be looked into
        return ResponseUsage()


def _number(value: float | Decimal) -> int | float:
    return float(value) if isinstance(value, Decimal) else value


def _model(view: "_View") -> str | None:
    for key in ("model", "modelVersion", "modelId"):
        name = view.get(key)
        if isinstance(name, str):
            return name
    return None


class _View(Mapping[str, object]):
    """Any object as a mapping, looked into one key at a time; nothing of it is copied.

    `promptTokenCount` finds the key, the attribute of that name, and `prompt_token_count`.
    """

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getitem__(self, key: str) -> object:
        try:
            return _viewed(self._look_up(key))
        except Exception:  # noqa: BLE001  # properties of the caller's objects
            raise KeyError(key) from None

    def _look_up(self, key: str) -> object:
        if isinstance(self._inner, Mapping):
            return self._inner[key] if key in self._inner else self._inner[_snake(key)]
        absent = object()
        value = getattr(self._inner, key, absent)
        return value if value is not absent else getattr(self._inner, _snake(key))

    def __iter__(self) -> Iterator[str]:
        return iter(())  # it is only looked into

    def __len__(self) -> int:
        return 1  # never taken for empty


def _viewed(value: object) -> object:
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    if isinstance(value, Sequence):
        return [_viewed(item) for item in value]
    return _View(value)


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)

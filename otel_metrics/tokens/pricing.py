"""What a model call costs, from the price table of `genai-prices` that is installed. No network.

Unknown is never zero: where the table has no price, the answer is None. A provider is taken by
its exact name only; the table's own guesses would give a local model the price of its namesake.

The table takes 0.14 s to load. Whoever asks first loads it, which should be `warm` on a thread
that has the time.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider, UsageExtractor

__all__ = ["TABLE_NAMES", "price", "usage_extractors", "version", "warm"]

LOOKUPS_MAX: Final = 1024
"""Pairs of provider and model whose place in the table is remembered."""
NAME_CHARS_MAX: Final = 256
"""Longer names are not looked up: each is matched against some hundred patterns, and kept."""

TABLE_NAMES: Final[Mapping[str, str]] = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
    # Names that instrumentations used before the conventions settled.
    "amazon": "aws",
    "anthropic.messages": "anthropic",
    "aws_bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "gemini": "google",
    "google_genai": "google",
    "mistralai": "mistral",
    "vertex_ai": "google",
    "vertexai": "google",
    "xai": "x-ai",
}
"""Provider names of the semantic conventions, and older ones, where the table has another name."""


def warm() -> None:
    """Load the price table, so that no caller of `price` has to wait for it."""
    _table()


def version() -> str:
    """Return which price table is in use: the version of `genai-prices`."""
    # Deferred: it brings email and zipfile, 14 ms that `import otel_metrics` can do without.
    from importlib import metadata

    return f"genai-prices {metadata.version('genai-prices')}"


def price(
    provider: str, models: Sequence[str | None], usage: Mapping[str, int | float]
) -> float | None:
    """Return what a call costs, in USD, or None where the table does not say.

    The price is complete or absent: where input or output tokens have no price, there is none.

    Args:
        provider: as `gen_ai.provider.name` has it.
        models: names of the model, the one that answered first; the first known is taken.
        usage: counts by the table's names: `input_tokens` with all that was cached,
            `output_tokens` with all reasoning, `cache_read_tokens`, `cache_write_tokens` and finer.
    """
    from genai_prices import Usage  # deferred, as in _table

    names = (name for name in models if name and len(provider) + len(name) <= NAME_CHARS_MAX)
    places = (_find(provider.lower(), name, _table().timestamp) for name in names)
    place = next((place for place in places if place), None)
    if place is None:
        return None
    owner, model = place

    try:
        calculation = model.calc_price(Usage(**usage), owner)
    except Exception:  # noqa: BLE001  # counts that the table's own code cannot take apart
        return None
    if not _is_priced(model, calculation.model_price, usage):
        return None
    return float(calculation.total_price)


def usage_extractors(provider: str) -> "Sequence[tuple[str, UsageExtractor]]":
    """Return how to read the usage out of a provider's responses, by flavour of its API."""
    owner = _provider(provider.lower())
    extractors = owner.extractors if owner is not None else None
    return [(extractor.api_flavor, extractor) for extractor in extractors or ()]


def _table() -> "DataSnapshot":
    # Deferred: 0.14 s, which a service that records no tokens need not spend. Python's own import
    # lock makes a second thread wait until the table is whole.
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def _provider(name: str) -> "Provider | None":
    wanted = TABLE_NAMES.get(name, name)
    return next((owner for owner in _table().providers if owner.id == wanted), None)


@lru_cache(maxsize=LOOKUPS_MAX)
def _find(provider: str, model: str, table_of: datetime) -> "tuple[Provider, ModelInfo] | None":
    del table_of  # part of the key: a service may put a newer table in place
    owner = _provider(provider)
    if owner is None:
        return None
    # Google's names come with a path: `models/…`, `publishers/google/models/…`.
    for name in (model, model.rpartition("/")[2]):
        found = owner.find_model(name, all_providers=_table().providers)
        if found is not None:
            return owner, found
    return None


def _is_priced(model: "ModelInfo", prices: "ModelPrice", usage: Mapping[str, int | float]) -> bool:
    """Tell whether the table prices all that was used: an entry without prices is not free."""
    if model.id.endswith(":free"):
        return True
    priced = [key for key, amount in vars(prices).items() if amount is not None]
    return all(
        not usage.get(f"{side}_tokens") or any(key.startswith(keys) for key in priced)
        for side, keys in (("input", ("input", "cache")), ("output", ("output",)))
    )

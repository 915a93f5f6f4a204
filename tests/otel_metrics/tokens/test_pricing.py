"""Prices: right to the cent where they are known, absent where they are not."""

import subprocess
import sys

import pytest
from genai_prices import data_snapshot
from genai_prices.data_units import unit_data
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.tokens import pricing

GPT_4O = {"input": 2.5e-6, "cached": 1.25e-6, "output": 10e-6}
"""USD a token; unchanged since August 2024."""


def _price(provider: str, model: str, **usage: int) -> float | None:
    return pricing.price(provider, (model,), usage)


def test_input_and_output_have_prices_of_their_own() -> None:
    """The price is that of the provider's list."""
    cost = _price("openai", "gpt-4o", input_tokens=1000, output_tokens=100)

    assert cost == pytest.approx(1000 * GPT_4O["input"] + 100 * GPT_4O["output"])


def test_cached_input_is_part_of_the_input() -> None:
    """It is charged once, at the cache's price."""
    cost = _price("openai", "gpt-4o", input_tokens=1000, cache_read_tokens=400, output_tokens=0)

    assert cost == pytest.approx(600 * GPT_4O["input"] + 400 * GPT_4O["cached"])


def test_a_longer_lived_cache_entry_costs_more() -> None:
    """What a provider breaks down is charged as it charges it."""
    short = {"input_tokens": 1000, "cache_write_tokens": 1000, "output_tokens": 0}
    long = short | {"cache_write_1h_tokens": 1000}

    costs = [pricing.price("anthropic", ("claude-sonnet-4-5",), usage) for usage in (short, long)]

    assert costs == [pytest.approx(0.00375), pytest.approx(0.006)]


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("nobody", "gpt-4o"),
        ("openai", "no-such-model"),
        ("openai-compatible", "gpt-4o"),  # a local server is not its namesake
        ("", ""),
        ("openai", "x" * 100_000),
        ("google", "gemma-3"),  # in the table, without prices
    ],
)
def test_what_has_no_price_has_none(provider: str, model: str) -> None:
    """Unknown is not zero, and not somebody else's price."""
    assert _price(provider, model, input_tokens=1000, output_tokens=100) is None


def test_a_model_that_is_priced_in_part_has_no_price() -> None:
    """A cost is complete or absent: an embedding model has no price for output."""
    assert _price("openai", "text-embedding-3-small", input_tokens=1000) is not None
    assert _price("openai", "text-embedding-3-small", input_tokens=1000, output_tokens=1) is None


def test_a_model_that_is_free_by_name_costs_0() -> None:
    """Known to be free is a price."""
    assert _price("azure", "mai-ds-r1:free", input_tokens=1000, output_tokens=100) == 0.0


@pytest.mark.parametrize(
    ("convention", "table"),
    [
        ("aws.bedrock", "aws"),
        ("azure.ai.openai", "azure"),
        ("gcp.gemini", "google"),
        ("gcp.vertex_ai", "google"),
        ("mistral_ai", "mistral"),
        ("x_ai", "x-ai"),
        ("OpenAI", "openai"),
    ],
)
def test_the_conventions_names_of_providers_are_known(convention: str, table: str) -> None:
    """`gen_ai.provider.name` may be used as it is."""
    owner = next(item for item in data_snapshot.get_snapshot().providers if item.id == table)
    model = next(item.id for item in owner.models if _price(table, item.id, input_tokens=1))

    assert _price(convention, model, input_tokens=1000) == _price(table, model, input_tokens=1000)


def test_every_name_that_is_translated_is_in_the_table() -> None:
    """A provider that the table renames is noticed here."""
    known = {owner.id for owner in data_snapshot.get_snapshot().providers}

    assert set(pricing.TABLE_NAMES.values()) <= known


def test_a_name_with_a_path_is_found() -> None:
    """Google's clients name models so."""
    plain = _price("gcp.vertex_ai", "gemini-2.5-pro", input_tokens=1000)

    assert plain is not None
    assert (
        _price("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", input_tokens=1000)
        == plain
    )


def test_the_first_known_model_is_taken() -> None:
    """The model that answered, else the one that was asked for."""
    cost = pricing.price("openai", ("gpt-4o-private-2031", None, "gpt-4o"), {"input_tokens": 1000})

    assert cost == pytest.approx(1000 * GPT_4O["input"])


def test_counts_that_contradict_each_other_have_no_price() -> None:
    """More from the cache than there was input."""
    assert _price("openai", "gpt-4o", input_tokens=1, cache_read_tokens=2, output_tokens=0) is None


def test_a_newer_table_is_taken_at_once() -> None:
    """A service may keep the prices up to date by the library's own means."""
    before = _price("openai", "gpt-4o", input_tokens=1000)
    data_snapshot.set_custom_snapshot(data_snapshot.DataSnapshot([], from_auto_update=True))
    try:
        after = _price("openai", "gpt-4o", input_tokens=1000)
    finally:
        data_snapshot.set_custom_snapshot(None)

    assert before is not None
    assert after is None


def test_the_version_of_the_table_is_known() -> None:
    """A cost can be explained a year later."""
    assert pricing.version().startswith("genai-prices ")


@pytest.mark.parametrize("modality", ["audio", "image", "video"])
def test_the_table_knows_the_modalities(modality: str) -> None:
    """The names that the recorder makes of a modality are units of the table."""
    names = {
        f"input_{modality}_tokens",
        f"output_{modality}_tokens",
        f"cache_{modality}_read_tokens",
    }

    assert names <= set(unit_data)


def test_importing_the_recorders_does_not_load_the_table() -> None:
    """It takes 0.14 s, on the thread that has the time."""
    program = "import otel_metrics.tokens, sys; print('genai_prices' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert printed.stdout.decode().strip() == "False"


def test_importing_the_package_reads_no_metadata_of_packages() -> None:
    """What that brings takes 14 ms, and only the version of the table asks for it."""
    program = """
import opentelemetry.sdk.metrics, opentelemetry.sdk.trace, opentelemetry.sdk._logs, sys
before = set(sys.modules)
import otel_metrics
print({"importlib.metadata", "email", "zipfile"} & (set(sys.modules) - before))
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert printed.stdout.decode().strip() == "set()"


def test_a_price_asked_for_while_the_table_loads_is_right() -> None:
    """Callers wait for the table; nobody gets half of it."""
    program = """
import threading
from otel_metrics.tokens import pricing
costs = []
ask = lambda: costs.append(pricing.price("openai", ("gpt-4o",), {"input_tokens": 1000}))
threads = [threading.Thread(target=pricing.warm)] + [threading.Thread(target=ask) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sorted(set(costs)))
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert printed.stdout.decode().strip() == "[0.0025]"


@given(provider=st.text(), model=st.text(), tokens=st.integers(0, 10**12))
def test_any_name_is_priced_or_not(provider: str, model: str, tokens: int) -> None:
    """No name raises, and none has a negative price."""
    cost = pricing.price(provider, (model,), {"input_tokens": tokens, "output_tokens": tokens})

    assert cost is None or cost >= 0

"""What a provider's response says of its usage, whatever object it is."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from otel_metrics.tokens.responses import read_usage

OPENAI_CHAT = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"message": {"content": "hello"}}],
    "usage": {
        "prompt_tokens": 2006,
        "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0},
    },
}
OPENAI_RESPONSES = {
    "model": "gpt-4o",
    "usage": {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 20},
    },
}
OPENAI_EMBEDDINGS = {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 8}}
ANTHROPIC = {
    "model": "claude-sonnet-4-5",
    "usage": {
        "input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        "output_tokens": 40,
    },
}
GOOGLE = {
    "modelVersion": "gemini-2.5-pro",
    "usageMetadata": {
        "promptTokenCount": 12,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 8,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    },
}
BEDROCK = {"usage": {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 90}}
MISTRAL = {"model": "mistral-large", "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
XAI = {
    "model": "grok-4",
    "usage": {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "completion_tokens_details": {"reasoning_tokens": 100},
    },
}
COHERE = {
    "usage": {
        "billed_units": {"input_tokens": 5, "output_tokens": 2},
        "tokens": {"input_tokens": 70, "output_tokens": 3},
        "cached_tokens": 1,
    }
}


@pytest.mark.parametrize(
    ("provider", "response", "model", "counts"),
    [
        ("openai", OPENAI_CHAT, "gpt-4o-2024-08-06", (2006, 300, 1920, None, 64)),
        ("openai", OPENAI_RESPONSES, "gpt-4o", (36, 87, 10, None, 20)),
        ("openai", OPENAI_EMBEDDINGS, "text-embedding-3-small", (8, None, None, None, None)),
        ("anthropic", ANTHROPIC, "claude-sonnet-4-5", (1150, 40, 1000, 50, None)),
        ("gcp.gemini", GOOGLE, "gemini-2.5-pro", (12, 38, 4, None, 8)),
        ("aws.bedrock", BEDROCK, None, (100, 5, 90, None, None)),
        ("mistral_ai", MISTRAL, "mistral-large", (7, 3, None, None, None)),
        ("x_ai", XAI, "grok-4", (7, 103, None, None, 100)),
        ("cohere", COHERE, None, (5, 2, None, None, None)),
        ("my-own-server", OPENAI_CHAT, "gpt-4o-2024-08-06", (2006, 300, 1920, None, 64)),
        ("my-own-server", ANTHROPIC, "claude-sonnet-4-5", (1150, 40, 1000, 50, None)),
    ],
)
def test_the_usage_of_a_provider_is_read(
    provider: str, response: object, model: str | None, counts: tuple[int | None, ...]
) -> None:
    """Input includes what was cached and output includes reasoning, whoever counts how."""
    read = read_usage(response, provider)

    keys = ("input", "output", "cache_read", "cache_write", "output_reasoning")
    assert tuple(read.counts.get(f"{key}_tokens") for key in keys) == counts
    assert read.model == model


def test_finer_counts_are_kept_for_the_price() -> None:
    """Cache entries that live an hour cost more than those of five minutes."""
    assert read_usage(ANTHROPIC, "anthropic").counts["cache_write_1h_tokens"] == 30


def test_an_embedding_is_known_as_one() -> None:
    """By the shape of its usage."""
    assert read_usage(OPENAI_EMBEDDINGS, "openai").operation == "embeddings"
    assert read_usage(OPENAI_CHAT, "openai").operation == "chat"


def _objects(value: object) -> object:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _objects(item) for key, item in value.items()})
    return [_objects(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("provider", "response"),
    [("openai", OPENAI_CHAT), ("anthropic", ANTHROPIC), ("gcp.gemini", GOOGLE)],
)
def test_an_object_reads_like_its_data(provider: str, response: object) -> None:
    """Client libraries return objects."""
    assert read_usage(_objects(response), provider) == read_usage(response, provider)


class _UsageMetadata(BaseModel):
    prompt_token_count: int
    candidates_token_count: int
    cached_content_token_count: int | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())
    model_version: str
    usage_metadata: _UsageMetadata


def test_a_model_with_python_names_is_read() -> None:
    """Google's client names fields in snake case."""
    metadata = _UsageMetadata(prompt_token_count=12, candidates_token_count=30)
    answer = _Answer(model_version="gemini-2.5-pro", usage_metadata=metadata)

    read = read_usage(answer, "gcp.gemini")

    assert read.model == "gemini-2.5-pro"
    assert dict(read.counts) == {"input_tokens": 12, "output_tokens": 30}


class _Hostile:
    @property
    def usage(self) -> object:
        raise RuntimeError("no")

    @property
    def model(self) -> object:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "response",
    [None, "text", 7, {}, [], {"usage": None}, {"usage": {"prompt_tokens": -1}}, _Hostile()],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "nobody", ""])
def test_a_response_without_usage_says_nothing(provider: str, response: object) -> None:
    """It raises nothing either."""
    assert dict(read_usage(response, provider).counts) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["usage", "usageMetadata", "input_tokens", "prompt_tokens", "model"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(response=JSON, provider=st.sampled_from(["openai", "anthropic", "gcp.gemini", "nobody"]))
def test_any_data_is_read_or_not(response: Any, provider: str) -> None:
    """No response raises, and none has a negative count."""
    assert all(count >= 0 for count in read_usage(response, provider).counts.values())

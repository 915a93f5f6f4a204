"""Model calls: counted once, priced or said to have no price, on the skill that made them."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_metrics import skills, tokens
from otel_metrics.testing import Captured, capture
from otel_metrics.tokens import once

USAGE = "gen_ai.client.inference.usage."
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
}
TEXT = CALL | {"gen_ai.token.modality": "text"}
UNKNOWN = CALL | {"gen_ai.token.modality": "unknown"}
MODEL = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
LOCAL = MODEL | {"cost.source": "local"}
PROVIDER = MODEL | {"cost.source": "provider"}


@pytest.fixture
def _newer_names_only() -> Iterator[None]:
    tokens.configure(older_names=False)
    yield
    tokens.configure(older_names=True)


def test_each_kind_of_token_has_its_counter(captured_telemetry: Captured) -> None:
    """The parts are counted beside the totals that include them."""
    tokens.record(
        provider="openai", model="gpt-4o",
        input=100, output=50, cache_read=40, cache_write=10, reasoning=20,
    )  # fmt: skip

    counted = {
        name: captured_telemetry.value(f"{USAGE}{name}", TEXT)
        for name in (
            "input_tokens", "output_tokens", "cache_read.input_tokens",
            "cache_write.input_tokens", "reasoning.output_tokens",
        )
    }  # fmt: skip
    assert list(counted.values()) == [100, 50, 40, 10, 20]


def test_the_older_names_are_recorded_beside_the_new(captured_telemetry: Captured) -> None:
    """Dashboards of today keep working."""
    tokens.record(provider="openai", model="gpt-4o", input=100, output=50)

    older = "gen_ai.client.token.usage"
    assert captured_telemetry.value(older, CALL | {"gen_ai.token.type": "input"}) == 100
    assert captured_telemetry.value(older, CALL | {"gen_ai.token.type": "output"}) == 50


@pytest.mark.usefixtures("_newer_names_only")
def test_the_older_names_can_be_left_out(captured_telemetry: Captured) -> None:
    """As `gen_ai_latest_experimental` asks."""
    tokens.record(provider="openai", model="gpt-4o", input=100, output=50)

    assert captured_telemetry.count("gen_ai.client.token.usage") == 0
    assert captured_telemetry.value(f"{USAGE}input_tokens", TEXT) == 100


def test_tokens_used_are_in_and_out_together(captured_telemetry: Captured) -> None:
    """What is cached or reasoned is in these already."""
    tokens.record(
        provider="openai", model="gpt-4o", input=100, output=50, cache_read=40, reasoning=20
    )

    about = {"vendor": "openai", "model": "gpt-4o"}
    assert captured_telemetry.value("pforge.tokens.used", about) == 150


def test_the_model_that_answered_is_kept_apart(captured_telemetry: Captured) -> None:
    """It is an attribute of its own, and its price is the one that holds."""
    tokens.record(provider="openai", model="router", response_model="gpt-4o", input=1000, output=0)

    about = {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "router",
        "gen_ai.response.model": "gpt-4o",
        "cost.source": "local",
    }
    assert captured_telemetry.value("llm.cost", about) == 0.0025


def test_a_failed_call_counts_too(captured_telemetry: Captured) -> None:
    """With its duration, its error, and 0 tokens; its usage is not missing."""
    tokens.record(provider="openai", model="gpt-4o", duration_s=1.5, error_type="TimeoutError")

    failed = CALL | {"error.type": "TimeoutError"}
    assert captured_telemetry.value("gen_ai.client.inference.duration", failed) == 1.5
    assert [point.value for point in captured_telemetry.points(f"{USAGE}input_tokens")] == [0]  # type: ignore[union-attr]  # a counter's
    assert captured_telemetry.value("gen_ai.usage.missing") == 0


def test_a_call_without_usage_counts_0_of_unknown_modality(captured_telemetry: Captured) -> None:
    """The call does not vanish, and says that its usage is missing."""
    tokens.record(provider="openai", model="gpt-4o", duration_s=1.5)

    for name in ("input_tokens", "output_tokens"):
        points = captured_telemetry.points(f"{USAGE}{name}")
        assert [dict(point.attributes or {}) for point in points] == [UNKNOWN]
    assert captured_telemetry.value("gen_ai.usage.missing", MODEL) == 1
    assert captured_telemetry.names().isdisjoint({"llm.cost", "llm.unpriced_tokens"})


def test_a_price_is_computed_where_none_is_given(captured_telemetry: Captured) -> None:
    """From the installed table; the source says so."""
    tokens.record(provider="openai", model="gpt-4o", input=1000, output=100)

    assert captured_telemetry.value("llm.cost", LOCAL) == 0.0035


def test_a_price_that_the_caller_gives_stands(captured_telemetry: Captured) -> None:
    """Of any kind of number; the source says so."""
    tokens.record(provider="openai", model="gpt-4o", input=1000, output=1, cost_usd=0.5)
    tokens.record(
        provider="openai",
        model="gpt-4o",
        input=1000,
        output=1,
        cost_usd=Decimal("0.25"),  # type: ignore[arg-type]  # as databases give it
    )

    assert captured_telemetry.value("llm.cost", PROVIDER) == 0.75
    assert captured_telemetry.value("llm.cost", LOCAL) == 0


def test_tokens_without_a_price_are_counted_apart(captured_telemetry: Captured) -> None:
    """Unknown cost is never zero cost."""
    tokens.record(provider="acme", model="m1", input=1000, output=100)

    about = {"gen_ai.provider.name": "acme", "gen_ai.request.model": "m1"}
    assert captured_telemetry.value("llm.unpriced_tokens", about) == 1100
    assert captured_telemetry.points("llm.cost") == []


def test_audio_is_priced_as_audio(captured_telemetry: Captured) -> None:
    """It costs more than text, and counts under its modality."""
    for modality in ("text", "audio"):
        tokens.record(
            provider="openai", model="gpt-audio",
            input=1000, output=0, modality=modality, response_model=modality,
        )  # fmt: skip

    text, audio = (
        captured_telemetry.value(
            "llm.cost",
            {
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-audio",
                "gen_ai.response.model": modality,
                "cost.source": "local",
            },
        )
        for modality in ("text", "audio")
    )
    assert audio > text > 0


def test_cost_lands_on_the_skill_with_its_outcome(captured_telemetry: Captured) -> None:
    """Once the run ends."""
    with skills.execution("triage", agent="support") as run:
        tokens.record(provider="openai", model="gpt-4o", input=1000, output=100)
        tokens.record(provider="openai", model="gpt-4o", cost_usd=0.01)
        before = captured_telemetry.value("skill.cost")
        run.outcome("a", expected="a")

    about = {
        "gen_ai.skill.name": "triage",
        "gen_ai.agent.name": "support",
        "skill.outcome": "correct",
    }
    assert before == 0
    assert captured_telemetry.value("skill.cost", about) == 0.0135


def test_cost_lands_on_the_innermost_run_only(captured_telemetry: Captured) -> None:
    """Or a sum over skills would count it twice."""
    with skills.execution("outer"), skills.execution("inner"):
        tokens.record(provider="openai", model="gpt-4o", cost_usd=0.01)

    about = {"gen_ai.skill.name": "inner", "skill.outcome": "unverified"}
    assert captured_telemetry.value("skill.cost", about) == 0.01
    assert captured_telemetry.value("skill.cost") == 0.01


async def test_cost_of_concurrent_calls_lands_on_their_own_runs(
    captured_telemetry: Captured,
) -> None:
    """Tasks started inside a run are part of it."""

    async def call(cost_usd: float) -> None:
        await asyncio.sleep(0)
        tokens.record(provider="openai", model="gpt-4o", cost_usd=cost_usd)

    async def work(skill: str, cost_usd: float) -> None:
        async with skills.execution(skill):
            await asyncio.gather(call(cost_usd), call(cost_usd))

    await asyncio.gather(work("a", 1.0), work("b", 10.0))

    costs = {
        skill: captured_telemetry.value(
            "skill.cost", {"gen_ai.skill.name": skill, "skill.outcome": "unverified"}
        )
        for skill in ("a", "b")
    }
    assert costs == {"a": 2.0, "b": 20.0}


@pytest.mark.parametrize(
    "usage",
    [
        {"input": 10, "cache_read": 8, "cache_write": 8},
        {"input": 10, "cache_read": 11},
        {"cache_read": 1},
    ],
)
def test_input_that_is_less_than_its_parts_is_rejected(usage: dict[str, int]) -> None:
    """Whoever counts cached tokens beside the input would be charged too little."""
    with capture(strict=False) as seen:
        tokens.record(provider="openai", model="gpt-4o", output=5, duration_s=1.0, **usage)  # type: ignore[arg-type]

    rejected = {"metric": f"{USAGE}input_tokens", "reason": "less_than_its_parts"}
    assert seen.value("metric.rejected", rejected) == 1
    assert seen.value(f"{USAGE}input_tokens") == 0
    assert seen.points("llm.cost") == []
    assert seen.value(f"{USAGE}output_tokens", TEXT) == 5
    assert seen.count("gen_ai.client.inference.duration") == 1


def test_output_that_is_less_than_its_reasoning_is_rejected() -> None:
    """Output includes reasoning."""
    with capture(strict=False) as seen:
        tokens.record(provider="openai", model="gpt-4o", input=5, output=5, reasoning=6)

    rejected = {"metric": f"{USAGE}output_tokens", "reason": "less_than_its_parts"}
    assert seen.value("metric.rejected", rejected) == 1


@pytest.mark.parametrize(
    ("count", "reason"),
    [(-1, "negative"), (1.5, "not_an_integer"), ("many", "not_a_number"), (True, "not_a_number")],
)
def test_a_count_that_is_none_is_rejected(count: int, reason: str) -> None:
    """The rest of the call is recorded."""
    with capture(strict=False) as seen:
        tokens.record(provider="openai", model="gpt-4o", input=count, output=5)

    rejected = {"metric": f"{USAGE}input_tokens", "reason": reason}
    assert seen.value("metric.rejected", rejected) == 1
    assert seen.value(f"{USAGE}output_tokens", TEXT) == 5
    assert seen.value("llm.unpriced_tokens", MODEL) == 5


def test_a_cost_that_is_none_is_computed() -> None:
    """A negative cost is rejected, and the table asked."""
    with capture(strict=False) as seen:
        tokens.record(provider="openai", model="gpt-4o", input=1000, output=0, cost_usd=-1)

    assert seen.value("llm.cost", LOCAL) == 0.0025
    assert seen.value("metric.rejected") == 1


def test_a_modality_that_is_none_is_unknown() -> None:
    """The tokens count all the same."""
    with capture(strict=False) as seen:
        tokens.record(provider="openai", model="gpt-4o", input=7, output=0, modality="smell")

    assert seen.value(f"{USAGE}input_tokens", UNKNOWN) == 7


def test_bad_input_raises_in_strict_mode(captured_telemetry: Captured) -> None:
    """The message says what is accepted."""
    with pytest.raises(ValueError, match="includes cache_read"):
        tokens.record(provider="openai", model="gpt-4o", input=1, output=1, cache_read=2)


def test_a_call_of_a_span_is_noted(captured_telemetry: Captured) -> None:
    """So that whoever reads calls out of spans does not count it again."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("chat gpt-4o") as span:
        tokens.record(provider="openai", model="gpt-4o", input=1, output=1)

    assert once.take(span.get_span_context().span_id)


def test_a_call_of_no_recording_span_is_not_noted(captured_telemetry: Captured) -> None:
    """No processor will ever see that span."""
    context = trace.SpanContext(trace_id=1, span_id=2, is_remote=True)
    with trace.use_span(trace.NonRecordingSpan(context)):
        tokens.record(provider="openai", model="gpt-4o", input=1, output=1)

    assert not once.take(2)


def test_a_response_is_recorded_with_its_finer_prices(captured_telemetry: Captured) -> None:
    """An hour in the cache costs more; the request's model is the response's by default."""
    usage = {
        "input_tokens": 0,
        "cache_creation_input_tokens": 1000,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000},
        "output_tokens": 0,
    }
    tokens.record_response(
        {"model": "claude-sonnet-4-5", "usage": usage}, provider="anthropic", duration_s=2.0
    )

    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.response.model": "claude-sonnet-4-5",
    }
    text = about | {"gen_ai.token.modality": "text"}
    assert captured_telemetry.value("llm.cost") == 0.006
    assert captured_telemetry.value(f"{USAGE}cache_write.input_tokens", text) == 1000
    assert captured_telemetry.value("gen_ai.client.inference.duration", about) == 2.0


def test_a_response_without_usage_is_still_a_call(captured_telemetry: Captured) -> None:
    """A stream whose last part carries no usage, say."""
    tokens.record_response({"model": "gpt-4o"}, provider="openai", model="gpt-4o")

    assert captured_telemetry.value("gen_ai.usage.missing") == 1


ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary()
) | st.lists(st.integers(), max_size=2)


@given(
    arguments=st.fixed_dictionaries(
        {"provider": ANYTHING, "model": ANYTHING},
        optional=dict.fromkeys(
            ["response_model", "operation", "modality", "input", "output", "cache_read",
             "cache_write", "reasoning", "duration_s", "error_type", "cost_usd"], ANYTHING,
        ),
    )
)  # fmt: skip
def test_recording_never_raises(arguments: dict[str, Any]) -> None:
    """Whatever is given."""
    with capture(strict=False):
        tokens.record(**arguments)
        tokens.record_response(arguments, provider=arguments["provider"])

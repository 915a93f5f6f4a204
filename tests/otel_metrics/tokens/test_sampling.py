"""Sampling changes no count, and the service's own exporters get what its sampler chose."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.util.types import AttributeValue

from otel_metrics.tokens.calls import Call
from otel_metrics.tokens.sampling import RecordGenAI, attach
from otel_metrics.tokens.spans import GenAISpanProcessor

USED: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 10,
}


class Recording(Protocol):
    """The `Recording` of conftest.py."""

    billed: Sequence[Mapping[str, Any]]

    def play(self, provider: trace.TracerProvider) -> None: ...


class Proxy(trace.TracerProvider):
    """A provider that hands on to another, as Logfire's does."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self.provider = provider

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return self.provider.get_tracer(*args, **kwargs)


class Foreign(Proxy):
    """A provider of another make, that takes span processors and has no sampler to wrap."""

    def __init__(self) -> None:
        super().__init__(trace.NoOpTracerProvider())
        self.processors: list[SpanProcessor] = []

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        self.processors.append(span_processor)


def count_under(sampler: Sampler) -> tuple[TracerProvider, list[Call], InMemorySpanExporter]:
    """Return a provider with that sampler, the calls counted, and what its service exports."""
    calls: list[Call] = []
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    assert attach(provider, GenAISpanProcessor(record=calls.append))
    return provider, calls, exporter


@pytest.mark.parametrize(
    "sampler",
    [ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.01)],
    ids=["off", "parent off", "1 %"],
)
def test_real_spans_count_the_same_under_any_sampler(
    scenario: str, recording: Recording, sampler: Sampler
) -> None:
    """What every recorded instrumentation says is the same as when all of it is sampled."""
    everything, expected, _ = count_under(ALWAYS_ON)
    provider, calls, _ = count_under(sampler)

    recording.play(everything)
    recording.play(provider)

    assert calls == expected


def test_at_one_per_cent_sums_are_exact_and_exports_are_not_more() -> None:
    """Of 2,000 traces the service exports what its sampler chose, and all are counted."""
    provider, calls, exporter = count_under(ParentBased(TraceIdRatioBased(0.01)))
    tracer = provider.get_tracer("my.service")
    sampled = 0
    for _ in range(2000):
        with tracer.start_as_current_span("request") as request:
            sampled += request.get_span_context().trace_flags.sampled
            tracer.start_span("chat gpt-4o", attributes=USED).end()

    assert (len(calls), sum(call.input or 0 for call in calls)) == (2000, 200_000)
    assert len(exporter.get_finished_spans()) == 2 * sampled < 200


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_sdk_lets_pass_passes() -> None:
    """A scope, a name or a key that is no text raises no more than it does without us."""
    anything: Any = None
    other: Any = {anything: 1, 7: 2}
    provider, calls, _ = count_under(ALWAYS_OFF)

    provider.get_tracer(anything).start_span("work", attributes=other).end()
    provider.get_tracer("service").start_span(anything, attributes={"gen_ai.x": "y"}).end()

    assert calls == []


def test_batches_hold_sampled_spans_only() -> None:
    """The SDK's batch processor skips spans that are recorded for us alone."""
    provider, calls, _ = count_under(ALWAYS_OFF)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.get_tracer("openinference.x").start_span("ChatOpenAI", attributes=USED).end()
    provider.force_flush()
    provider.shutdown()

    assert (len(calls), exporter.get_finished_spans()) == (1, ())


def test_tracers_made_before_are_covered() -> None:
    """A library that took its tracer earlier counts as exactly as one that takes it later."""
    calls: list[Call] = []
    provider = TracerProvider(sampler=ALWAYS_OFF)
    early = provider.get_tracer("opentelemetry.instrumentation.langchain")

    assert attach(provider, GenAISpanProcessor(record=calls.append))
    span = early.start_span("ChatOpenAI.chat")
    span.set_attributes(USED)
    span.end()
    assert len(calls) == 1


def test_other_spans_stay_dropped() -> None:
    """A span that is not about models costs what it cost before."""
    provider, _, _ = count_under(ALWAYS_OFF)
    span = provider.get_tracer("my.service").start_span("GET /")

    assert not span.is_recording()


def test_what_is_propagated_says_not_sampled() -> None:
    """Services that are called from a recorded span learn that the trace is not sampled."""
    provider, _, _ = count_under(ALWAYS_OFF)
    span = provider.get_tracer("my.service").start_span("chat gpt-4o", attributes=USED)

    assert (span.is_recording(), span.get_span_context().trace_flags.sampled) == (True, False)


def test_a_sampled_span_is_as_its_sampler_made_it() -> None:
    """Where the inner sampler samples, its answer is handed on untouched."""
    result = RecordGenAI(ALWAYS_ON).should_sample(None, 1, "chat", attributes={"a": 1})

    assert result.decision is Decision.RECORD_AND_SAMPLE
    assert RecordGenAI(ALWAYS_OFF).get_description() == "RecordGenAI{AlwaysOffSampler}"


def test_a_provider_in_a_proxy_is_reached() -> None:
    """Logfire sets a provider around the SDK's; the sampler inside is what counts."""
    calls: list[Call] = []
    proxy = Proxy(Proxy(TracerProvider(sampler=ALWAYS_OFF)))

    assert attach(proxy, GenAISpanProcessor(record=calls.append))
    proxy.get_tracer("pydantic-ai").start_span("chat gpt-4o", attributes=USED).end()
    assert len(calls) == 1


def test_a_foreign_provider_counts_what_it_samples() -> None:
    """The processor joins, and the answer says that sampling is not covered."""
    foreign = Foreign()
    processor = GenAISpanProcessor()

    assert not attach(foreign, processor)
    assert foreign.processors == [processor]


def test_a_provider_that_takes_no_processor_is_refused() -> None:
    """Nothing can be counted there, and the error says why."""
    with pytest.raises(TypeError, match="NoOpTracerProvider takes no span processors"):
        attach(trace.NoOpTracerProvider(), GenAISpanProcessor())


INSTALL = """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from otel_metrics.tokens.sampling import install
from otel_metrics.tokens.spans import GenAISpanProcessor

early = trace.get_tracer("my.service")
calls = []
covered = install(GenAISpanProcessor(record=calls.append), Resource({"service.name": "x"}))
attributes = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 5}
early.start_span("chat", attributes=attributes).end()
provider = trace.get_tracer_provider()
print(covered, [call.input for call in calls], provider.resource.attributes["service.name"])
"""


@pytest.mark.parametrize("sampler", ["parentbased_always_on", "always_off"])
def test_a_service_without_a_provider_gets_one(sampler: str) -> None:
    """It counts spans of tracers taken before it, whatever the sampler's variable says."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INSTALL],
        env={"OTEL_TRACES_SAMPLER": sampler, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("True [5] x\n", "")


def test_a_recorded_span_keeps_its_first_attributes() -> None:
    """A sampler that drops returns none of them; they are the span's all the same."""
    seen: list[ReadableSpan] = []

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            seen.append(span)

    provider = TracerProvider(sampler=ALWAYS_OFF)
    attach(provider, Keep())
    provider.get_tracer("litellm").start_span("any", attributes={"a": 1}).end()

    assert [dict(span.attributes or {}) for span in seen] == [{"a": 1}]

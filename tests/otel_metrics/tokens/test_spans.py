"""GenAI spans of any instrumentation: each call, tool and agent counts once, and exactly."""

import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Tracer

from otel_metrics import tokens
from otel_metrics.testing import Captured
from otel_metrics.tokens import once
from otel_metrics.tokens.calls import Call
from otel_metrics.tokens.spans import OPEN_MAX, GenAISpanProcessor

USAGE = "gen_ai.client.inference.usage."
PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
}
USED = CHAT | {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "forecaster"}


class Recording(Protocol):
    """The `Recording` of conftest.py."""

    billed: Sequence[Mapping[str, Any]]

    def play(self, provider: trace.TracerProvider) -> None: ...


@dataclass(frozen=True)
class Gap:
    """What an instrumentation does not tell: no span of a call, no usage of one, some counts."""

    no_span: tuple[int, ...] = ()
    no_usage: tuple[int, ...] = ()
    never: tuple[str, ...] = ()


GAPS = {
    # openai-v2 2.4b0 with openai 2: no Responses API, no details of the usage.
    "official-openai-v2": Gap(no_span=(7,), never=("cache_read", "reasoning")),
    # 0.45.6: a call that fails ends no span, a stream has no usage.
    "openllmetry-2025-anthropic": Gap(no_span=(3,), no_usage=(2,)),
    "openllmetry-2025-langchain": Gap(never=("cache_write",)),
    "openllmetry-2025-langchain-and-clients": Gap(never=("cache_write",)),
    "openllmetry-2025-openai": Gap(never=("reasoning",)),
}
TOOLS = {
    "openinference-langchain": 2,
    "openinference-langchain-and-clients": 2,
    "openllmetry-2025-decorators": 1,
    "openllmetry-langchain": 2,
    "openllmetry-langchain-and-clients": 2,
    "pydantic-ai": 1,
    "pydantic-ai-aggregated": 1,
    "pydantic-ai-and-logfire": 1,
}
FOUR_AGENTS = {"forecaster": 1, "reader": 1, "streamer": 1, "failing": 1}
AGENTS = {
    "openllmetry-2025-decorators": {"forecaster": 1},
    "openllmetry-langchain": {"forecaster": 2},
    "openllmetry-langchain-and-clients": {"forecaster": 2},
    "pydantic-ai": FOUR_AGENTS,
    "pydantic-ai-aggregated": FOUR_AGENTS,
    "pydantic-ai-and-logfire": FOUR_AGENTS,
}
FIRST_CHUNKS = {
    "both-official-openllmetry": 2,
    "both-openllmetry-openinference": 2,
    "logfire-anthropic": 1,
    "official-anthropic": 1,
    "official-openai": 2,
    "openinference-anthropic": 1,
    "openinference-langchain-and-clients": 2,
    "openinference-openai": 2,
    "openllmetry-2025-openai": 2,
    "openllmetry-anthropic": 1,
    "openllmetry-openai": 2,
    "pydantic-ai": 2,
    "pydantic-ai-aggregated": 2,
    "pydantic-ai-and-logfire": 2,
}


def told(scenario: str, billed: Sequence[Mapping[str, Any]]) -> Counter[tuple[object, ...]]:
    """Return the calls that the server billed, as far as the instrumentation tells of them."""
    gap = GAPS.get(scenario, Gap())
    calls: Counter[tuple[object, ...]] = Counter()
    for number, call in enumerate(billed):
        if number in gap.no_span:
            continue
        silent = number in gap.no_usage
        parts = (0 if silent or part in gap.never else call.get(part, 0) for part in PARTS)
        calls[call["provider"], call["model"], call["status"] != 200, *parts] += 1
    return calls


def counted(calls: Sequence[Call]) -> Counter[tuple[object, ...]]:
    return Counter(
        (
            call.provider,
            call.model,
            call.error_type is not None,
            *(getattr(call, part) or 0 for part in PARTS),
        )
        for call in calls
    )


@pytest.fixture
def calls() -> list[Call]:
    return []


@pytest.fixture
def tracer(calls: list[Call]) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor(record=calls.append))
    return provider.get_tracer("anyone's")


def span_in(tracer: Tracer, parent: Span, attributes: Mapping[str, str | int]) -> Span:
    context = trace.set_span_in_context(parent)
    return tracer.start_span("any", context=context, attributes=attributes)


def test_what_is_counted_is_what_was_billed(scenario: str, recording: Recording) -> None:
    """Every call the server answered counts once, with its tokens, whoever instrumented it."""
    calls: list[Call] = []
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor(record=calls.append))

    recording.play(provider)

    assert counted(calls) == told(scenario, recording.billed)
    assert all(call.duration_s is not None and call.duration_s > 0 for call in calls)


def test_the_instruments_get_it_all(
    scenario: str, recording: Recording, captured_telemetry: Captured
) -> None:
    """Calls, tools, agents and first chunks arrive in the catalog's instruments."""
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor())

    recording.play(provider)

    expected = told(scenario, recording.billed)
    assert _count(captured_telemetry, "gen_ai.client.inference.duration") == expected.total()
    input_tokens = sum(int(str(call[3])) * times for call, times in expected.items())
    assert _sum(captured_telemetry, f"{USAGE}input_tokens") == input_tokens
    assert _count(captured_telemetry, "gen_ai.execute_tool.duration") == TOOLS.get(scenario, 0)
    agents = _histogram(captured_telemetry, "gen_ai.invoke_agent.duration")
    names = {(point.attributes or {})["gen_ai.agent.name"]: point.count for point in agents}
    assert names == AGENTS.get(scenario, {})
    first_chunks = _count(captured_telemetry, "gen_ai.client.operation.time_to_first_chunk")
    assert first_chunks == FIRST_CHUNKS.get(scenario, 0)
    assert captured_telemetry.points("metric.rejected") == []


def _histogram(seen: Captured, name: str) -> list[HistogramDataPoint]:
    return [point for point in seen.points(name) if isinstance(point, HistogramDataPoint)]


def _count(seen: Captured, name: str) -> int:
    return sum(point.count for point in _histogram(seen, name))


def _sum(seen: Captured, name: str) -> float:
    return sum(point.value for point in seen.points(name) if isinstance(point, NumberDataPoint))


def test_a_call_recorded_by_hand_in_its_span_counts_once(
    tracer: Tracer, calls: list[Call], captured_telemetry: Captured
) -> None:
    """`tokens.record` inside the span of the call is the call; the span adds nothing."""
    with tracer.start_as_current_span("chat", attributes=USED):
        tokens.record(provider="openai", model="gpt-4o", input=100, output=10)

    assert calls == []
    assert len(captured_telemetry.points(f"{USAGE}input_tokens")) == 1


def test_a_call_recorded_by_hand_below_its_span_counts_once(
    tracer: Tracer, calls: list[Call], captured_telemetry: Captured
) -> None:
    """A plain span between (an HTTP client's) does not part the record from the call."""
    with (
        tracer.start_as_current_span("chat", attributes=USED),
        tracer.start_as_current_span("POST"),
    ):
        tokens.record(provider="openai", model="gpt-4o", input=100, output=10)

    assert calls == []


def test_a_call_recorded_by_hand_hides_no_other(
    tracer: Tracer, calls: list[Call], captured_telemetry: Captured
) -> None:
    """Recording one call in an agent's span leaves the agent's other calls counted."""
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        tokens.record(provider="openai", model="gpt-4o", input=1, output=1)
        tracer.start_span("chat", attributes=USED).end()

    assert [call.input for call in calls] == [100]


def test_a_tool_parts_calls(tracer: Tracer, calls: list[Call]) -> None:
    """A call that runs a tool which calls a model is two calls."""
    outer = tracer.start_span("chat", attributes=USED)
    tool = span_in(tracer, outer, TOOL)
    span_in(tracer, tool, USED).end()
    tool.end()
    outer.end()

    assert len(calls) == 2


def test_retries_below_a_wrapper_count_each(tracer: Tracer, calls: list[Call]) -> None:
    """Two attempts are two calls, the failed one too; what wraps them is none."""
    wrapper = tracer.start_span("chat", attributes=USED)
    span_in(tracer, wrapper, CHAT | {"error.type": "timeout"}).end()
    span_in(tracer, wrapper, USED).end()
    wrapper.end()

    assert [call.error_type for call in calls] == ["timeout", None]


def test_what_follows_a_failed_attempt_unseen_counts(tracer: Tracer, calls: list[Call]) -> None:
    """A wrapper that got its answer another way than its failed attempt counts for that answer."""
    wrapper = tracer.start_span("chat", attributes=USED)
    span_in(tracer, wrapper, CHAT | {"error.type": "timeout"}).end()
    wrapper.end()

    assert [call.input for call in calls] == [None, 100]


def test_tokens_that_the_inner_span_missed_come_from_the_outer(
    tracer: Tracer, calls: list[Call]
) -> None:
    """One call: the inner span gives its duration, the outer its tokens."""
    outer = tracer.start_span("chat", attributes=USED)
    span_in(tracer, outer, CHAT).end()
    outer.end()

    assert [(call.input, call.duration_s is None) for call in calls] == [(None, False), (100, True)]


def test_views_of_one_call_side_by_side_count_once(calls: list[Call]) -> None:
    """Spans of two scopes with one response id are one call, whatever tokens they claim."""
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor(record=calls.append))
    one, other = (
        provider.get_tracer(scope).start_span("chat", attributes=USED)
        for scope in ("framework", "client")
    )
    other.set_attribute("gen_ai.response.id", "r1")
    one.set_attributes({"gen_ai.response.id": "r1", "gen_ai.usage.output_tokens": 11})
    other.end()
    one.end()

    assert [call.output for call in calls] == [10]


def test_equal_calls_of_one_scope_are_many(tracer: Tracer, calls: list[Call]) -> None:
    """Parallel calls with equal answers of one instrumentation are not taken for one."""
    spans = [tracer.start_span("chat", attributes=USED) for _ in range(3)]
    for span in spans:
        span.end()

    assert len(calls) == 3


def test_two_scopes_see_each_of_two_equal_calls(calls: list[Call]) -> None:
    """Two parallel equal calls, each seen by two scopes, are two calls."""
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor(record=calls.append))
    tracers = [provider.get_tracer(scope) for scope in ("framework", "client")]
    spans = [tracer.start_span("chat", attributes=USED) for tracer in tracers for _ in range(2)]
    for span in reversed(spans):
        span.end()

    assert len(calls) == 2


def test_a_tool_in_itself_is_one_run(tracer: Tracer, captured_telemetry: Captured) -> None:
    """Two instrumentations of one framework give a tool two spans, one in the other."""
    outer = tracer.start_span("execute_tool", attributes=TOOL)
    span_in(tracer, outer, TOOL).end()
    outer.end()

    assert _count(captured_telemetry, "gen_ai.execute_tool.duration") == 1


def test_a_failed_tool_says_so(tracer: Tracer, captured_telemetry: Captured) -> None:
    """The class of the exception is on the duration."""
    with (
        pytest.raises(ValueError, match="no weather"),
        tracer.start_as_current_span("execute_tool", attributes=TOOL),
    ):
        raise ValueError("no weather")

    (point,) = captured_telemetry.points("gen_ai.execute_tool.duration")
    assert point.attributes == {"gen_ai.tool.name": "weather", "error.type": "ValueError"}


def test_a_call_without_usage_is_said_to_miss_it(
    captured_telemetry: Captured,
) -> None:
    """It counts: a duration, no tokens, and one in `gen_ai.usage.missing`."""
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor())
    provider.get_tracer("any").start_span("chat", attributes=CHAT).end()

    (missing,) = captured_telemetry.points("gen_ai.usage.missing")
    assert _count(captured_telemetry, "gen_ai.client.inference.duration") == 1
    assert missing.attributes == {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
    }


def test_it_records_in_the_spans_own_context() -> None:
    """An exemplar of a duration leads to the span that took so long."""
    current: list[int] = []
    provider = TracerProvider()

    def record(call: Call) -> None:
        current.append(trace.get_current_span().get_span_context().span_id)

    provider.add_span_processor(GenAISpanProcessor(record=record))
    span = provider.get_tracer("any").start_span("chat", attributes=USED)
    span.end()

    assert current == [span.get_span_context().span_id]


def test_it_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong is logged once, and the service's span ends as ever."""

    def record(call: Call) -> None:
        raise RuntimeError("broken")

    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor(record=record))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            provider.get_tracer("any").start_span("chat", attributes=USED).end()

    assert [entry.name for entry in caplog.records] == ["otel_metrics.tokens"]


def test_spans_that_never_end_are_forgotten(tracer: Tracer, calls: list[Call]) -> None:
    """Past the bound the oldest open span is taken to enclose nothing; its call still counts."""
    oldest = tracer.start_span("chat", attributes=USED)
    inner = span_in(tracer, oldest, USED)
    for _ in range(OPEN_MAX):
        tracer.start_span("leaked")
    inner.end()
    oldest.end()

    assert len(calls) == 2


def test_notes_of_calls_by_hand_are_bounded() -> None:
    """The oldest note goes when there are too many."""
    for span_id in range(1, once.NOTED_MAX + 2):
        once.note(span_id)

    taken = [once.take(span_id) for span_id in range(1, once.NOTED_MAX + 2)]
    assert taken == [False] + [True] * once.NOTED_MAX


def test_after_shutdown_nothing_counts(calls: list[Call]) -> None:
    """A processor that was shut down leaves the provider's spans alone."""
    provider = TracerProvider()
    processor = GenAISpanProcessor(record=calls.append)
    provider.add_span_processor(processor)
    processor.shutdown()
    provider.get_tracer("any").start_span("chat", attributes=USED).end()

    assert (calls, processor.force_flush()) == ([], True)


def test_threads_lose_no_call(calls: list[Call]) -> None:
    """Calls that end on many threads at once count each."""
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor(record=calls.append))
    tracer = provider.get_tracer("any")

    def work() -> None:
        for _ in range(100):
            with tracer.start_as_current_span("chain"):
                outer = tracer.start_span("chat", attributes=USED)
                span_in(tracer, outer, USED).end()
                outer.end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(calls) == 800


def test_a_signal_handler_may_end_a_span_inside_the_end_of_another(
    tracer: Tracer, calls: list[Call]
) -> None:
    """Neither waits for the other, and both count."""
    handled, ended = 0, 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        tracer.start_span("chat", attributes=USED).end()

    before = signal.signal(signal.SIGVTALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.001)
        while handled < 100:
            tracer.start_span("chat", attributes=USED).end()
            ended += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

    assert len(calls) == ended + handled


def test_a_forked_child_counts_its_own_calls_only(tracer: Tracer, calls: list[Call]) -> None:
    """The span that was open at the fork is the parent's; the child's copy of it adds nothing."""
    inherited = tracer.start_span("chat", attributes=USED)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        inherited.end()
        tracer.start_span("chat", attributes=USED).end()
        os.write(write_end, str(len(calls)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    inherited.end()

    assert (os.read(read_end, 10), len(calls)) == (b"1", 1)

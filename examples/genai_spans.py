"""A service that only emits GenAI spans: token, cost and duration metrics come by themselves.

The spans below are what any GenAI instrumentation emits. Only 1 % are sampled; counts are exact.

Needs `pip install otel-metrics`. Run it in the folder that holds examples/; the second command
shows what was counted:

    python examples/genai_spans.py
    otel-metrics archive cat --metric llm.cost
"""

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

import otel_metrics

trace.set_tracer_provider(TracerProvider(sampler=TraceIdRatioBased(0.01)))
telemetry = otel_metrics.configure(service_name="genai-spans", metrics_exporter="ndjson")
tracer = trace.get_tracer("any.genai.instrumentation")

sampled = 0

for _ in range(100):
    with tracer.start_as_current_span(
        "chat gpt-4o-mini",
        kind=trace.SpanKind.CLIENT,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
        },
    ) as span:
        span.set_attribute("gen_ai.usage.input_tokens", 120)
        span.set_attribute("gen_ai.usage.output_tokens", 30)
        sampled += span.get_span_context().trace_flags.sampled

print(f"100 calls, {sampled} of them sampled, all of them counted")
print("in ./telemetry" if telemetry.flush(timeout=5).ok else "not archived")

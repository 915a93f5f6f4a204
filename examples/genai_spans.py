"""A service that only emits GenAI spans: token, cost and duration metrics come by themselves.

The spans below are what any GenAI instrumentation emits. Only 1 % are sampled; counts are exact.
"""

from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

import otel_metrics

trace.set_tracer_provider(TracerProvider(sampler=TraceIdRatioBased(0.01)))
telemetry = otel_metrics.configure(service_name="genai-spans", metrics_exporter="ndjson")
tracer = trace.get_tracer("any.genai.instrumentation")

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

telemetry.flush(timeout=5)
print(type(metrics.get_meter_provider()).__name__)

"""Keeps a sampler's choice out of the counts: GenAI spans are recorded, if not exported.

A span that a sampler drops never reaches a processor. Here DROP becomes RECORD_ONLY for GenAI
spans: they are not sampled, so the service's exporters skip them (the SDK's batch and simple
processors look at the flag), what is propagated says not sampled, and children fare as before.
Which spans those are shows in the scope of their tracer, else in their name and attributes.
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from otel_metrics.tokens.conventions import is_genai_scope, is_genai_start

__all__ = ["RecordGenAI", "attach", "install"]

PROXIES_MAX: Final = 4
"""Providers inside providers that are looked through (Logfire's is one in another)."""


class RecordGenAI(Sampler):
    """Asks another sampler, and has GenAI spans recorded that it would drop.

    Args:
        inner: decides what is sampled.
        every_span: every span is a GenAI span, as in the scope of a GenAI instrumentation.
    """

    def __init__(self, inner: Sampler, *, every_span: bool = False) -> None:
        self.inner = inner
        self._every_span = every_span

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = self.inner.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        if result.decision is not Decision.DROP:
            return result
        if self._every_span or is_genai_start(name, attributes):
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        return f"RecordGenAI{{{self.inner.get_description()}}}"


def attach(tracer_provider: trace.TracerProvider, processor: SpanProcessor) -> bool:
    """Let `processor` see the GenAI spans of a provider that is there, dropped ones too.

    Returns:
        Whether the sampler was reached. Where it was not, counts cover sampled spans only.

    Raises:
        TypeError: the provider takes no span processors.
    """
    provider = _look_through(tracer_provider)
    if not hasattr(provider, "add_span_processor"):
        raise TypeError(f"{type(provider).__name__} takes no span processors")
    provider.add_span_processor(processor)
    return isinstance(provider, TracerProvider) and _cover(provider)


def install(processor: SpanProcessor, resource: Resource) -> bool:
    """Set a global TracerProvider that exports nothing, for a service that has none.

    It samples as the standard variables say (by default all): what this service propagates then
    is what it would with any SDK. Where another provider was set meanwhile, that one is joined.

    Returns:
        Whether counts cover all GenAI spans, as `attach` does.
    """
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(made)
    return attach(trace.get_tracer_provider(), processor)


def _look_through(provider: trace.TracerProvider) -> trace.TracerProvider:
    """Return the SDK's provider inside, where there is one, else `provider` itself."""
    inner: object = provider
    for _ in range(PROXIES_MAX):
        if isinstance(inner, TracerProvider):
            return inner
        inner = getattr(inner, "provider", None)
    return provider


def _cover(provider: TracerProvider) -> bool:
    """Wrap the samplers of the provider, of its tracers, and of those that it will make.

    A tracer keeps the sampler that its provider had when it was made.
    """
    made = getattr(provider, "_tracers", None)
    provider.sampler = _wrapped(provider.sampler, scope="")
    _cover_new_tracers(provider)
    if not isinstance(made, dict):
        return False
    for scope, tracer in list(made.items()):
        tracer.sampler = _wrapped(tracer.sampler, scope=scope.name)
    return True


def _cover_new_tracers(provider: TracerProvider) -> None:
    make = provider.get_tracer

    def get_tracer(
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        tracer = make(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        if isinstance(tracer, Tracer):  # none where OTEL_SDK_DISABLED
            tracer.sampler = _wrapped(tracer.sampler, scope=instrumenting_module_name)
        return tracer

    # The one place where a tracer's scope and its sampler meet. Only this provider is changed.
    provider.get_tracer = get_tracer  # type: ignore[method-assign]


def _wrapped(sampler: Sampler, *, scope: str) -> Sampler:
    inner = sampler.inner if isinstance(sampler, RecordGenAI) else sampler
    return RecordGenAI(inner, every_span=is_genai_scope(scope))

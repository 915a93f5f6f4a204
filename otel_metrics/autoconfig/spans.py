"""Attaches the GenAI span processor to the TracerProvider that is there, or sets ours."""

import logging

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource

from otel_metrics.tokens import sampling
from otel_metrics.tokens.spans import GenAISpanProcessor

__all__ = ["attach"]

_logger = logging.getLogger("otel_metrics.autoconfig")
_attached = False


def attach(made_of: Resource) -> None:
    """Let finished GenAI spans become metrics, whatever the sampling. Once for the process.

    Args:
        made_of: the resource of a provider that has to be made.
    """
    global _attached
    if _attached:
        return
    processor = GenAISpanProcessor()
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        covered = sampling.install(processor, made_of)
    else:
        covered = sampling.attach(provider, processor)
    _attached = True
    if not covered:
        _logger.warning("the sampler cannot be reached: GenAI counts cover sampled spans only")

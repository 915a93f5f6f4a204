"""Attaches the GenAI span processor to the TracerProvider that is there, or sets ours."""

import logging

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_metrics.tokens import spans

__all__ = ["attach"]

_logger = logging.getLogger("otel_metrics.autoconfig")


def attach(made_of: Resource) -> None:
    """Let finished GenAI spans become metrics, whatever the sampling.

    Args:
        made_of: the resource of a provider that has to be made.
    """
    raise NotImplementedError((trace, TracerProvider, spans, made_of, _logger))

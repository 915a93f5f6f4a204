"""Joins the MeterProvider that is there, or sets ours. Never replaces one."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.metrics import MeterProvider as ApiMeterProvider
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    ExemplarFilter,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.resources import Resource

__all__ = ["join_meter_provider", "resource", "resource_of"]

EXEMPLAR_FILTERS: Final[dict[str, type[ExemplarFilter]]] = {
    "trace_based": TraceBasedExemplarFilter,
    "always_on": AlwaysOnExemplarFilter,
    "always_off": AlwaysOffExemplarFilter,
}
WRAPPED_DEPTH_MAX: Final = 3
"""Wrappers around an SDK provider that are looked through (Logfire has one)."""

_logger = logging.getLogger("otel_metrics.autoconfig")


def join_meter_provider(
    given: ApiMeterProvider | None, made_of: Resource, exemplar_filter: str
) -> MeterProvider:
    """Return the SDK provider to collect from.

    Args:
        given: the provider of `configure(meter_provider=…)`; None takes the global one.
        made_of: the resource of a provider that has to be made.
        exemplar_filter: likewise.
    """
    found = given if given is not None else metrics.get_meter_provider()
    joined = _sdk_provider(found)
    if joined is not None:
        return joined
    made = MeterProvider(
        resource=made_of,
        exemplar_filter=EXEMPLAR_FILTERS[exemplar_filter](),
        shutdown_on_exit=False,
    )
    if given is None and type(found).__module__.startswith("opentelemetry.metrics"):
        metrics.set_meter_provider(made)
    else:
        _logger.warning(
            "the MeterProvider in place, %s.%s, takes no reader: this bundle's own metrics are "
            "kept, the service's are not; pass configure(meter_provider=…) an SDK MeterProvider",
            type(found).__module__,
            type(found).__qualname__,
        )
    return made


def _sdk_provider(found: object) -> MeterProvider | None:
    for _ in range(WRAPPED_DEPTH_MAX):
        if isinstance(found, MeterProvider):
            return found
        found = getattr(found, "provider", None)
    return None


def resource_of(provider: MeterProvider, otherwise: Resource) -> Resource:
    """Return the resource that a provider's metrics carry, so that its events carry the same."""
    # The SDK has no public way to ask; where its attribute moves, ours is as good as without.
    found = getattr(getattr(provider, "_sdk_config", None), "resource", None)
    return found if isinstance(found, Resource) else otherwise


def resource(attributes: Mapping[str, Any]) -> Resource:
    """Return the resource of this process: what detectors find, under `attributes`."""
    return Resource.create(dict(attributes))

"""From a measurement to the SDK's aggregations, without asking anew which those are.

The SDK looks at each attribute of each measurement three times: to clean it, to copy it, to hash
it. A handle knows its attribute sets and hands over the same mapping each time, so that the answer
can be remembered. What is done with it is the SDK's own work: exemplar filter, views, aggregations.
This reaches into the SDK (as of 1.45.2): where a part is not as it is there, or a reader drops its
sums at each collection, the instrument itself is called, as everybody calls it.

Threads: called from any thread. A reader that joins, or a fork, replaces the SDK's table of
storages; what was remembered of the old one is then forgotten.
"""

import contextlib
import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.context import Context, get_current
from opentelemetry.util.types import AttributeValue

__all__ = ["measure"]

Series = Mapping[str, AttributeValue]
Measure = Callable[[int | float, Series], None]

SERIES_MAX: Final = 10_000
"""Attribute sets of one instrument that are remembered; with more, all are forgotten."""

_hash: Any = None
with contextlib.suppress(ImportError):
    _matching = importlib.import_module(
        "opentelemetry.sdk.metrics._internal._view_instrument_match"
    )
    _hash = getattr(_matching, "_hash_attributes", None)


class _Measurement:
    """What the SDK's filter, aggregations and reservoirs read of a measurement."""

    __slots__ = ("attributes", "context", "instrument", "time_unix_nano", "value")

    def __init__(
        self,
        value: float,
        time_unix_nano: int,
        instrument: object,
        context: Context,
        attributes: Series,
    ) -> None:
        self.value = value
        self.time_unix_nano = time_unix_nano
        self.instrument = instrument
        self.context = context
        self.attributes = attributes


class _Known(NamedTuple):
    """What was found for a series; holds the series, so that its id stays its own."""

    storages: object
    series: Series
    aggregations: list[Any] | None


def measure(instrument: Any, usual: Measure) -> Measure:
    """Return what records a value into an instrument under an attribute set.

    Args:
        instrument: a counter, up-down counter or histogram, of the SDK or not.
        usual: its own `add` or `record`.

    Returns:
        what takes finite values only, and mappings that nobody changes and that stay alive.
    """
    try:
        consumer = instrument._measurement_consumer
        should_sample = consumer._sdk_config.exemplar_filter.should_sample
        is_enabled = instrument._is_enabled
        consumer._reader_storages  # noqa: B018  # is it there?
    except AttributeError:
        return usual
    if _hash is None:
        return usual
    known: dict[int, _Known] = {}

    def direct(value: float, series: Series) -> None:
        found = known.get(id(series))
        if found is None or found.storages is not consumer._reader_storages:
            storages = consumer._reader_storages
            usual(value, series)  # which makes the aggregations
            if len(known) >= SERIES_MAX:
                known.clear()
            known[id(series)] = _Known(
                storages, series, _aggregations(instrument, storages, series)
            )
            return
        if found.aggregations is None or not is_enabled():
            usual(value, series)
            return
        context = get_current()
        now = time.time_ns()
        sampled = should_sample(value, now, series, context)
        measurement = _Measurement(value, now, instrument, context, series)
        for aggregation in found.aggregations:
            aggregation.aggregate(measurement, sampled)

    return direct


def _aggregations(instrument: Any, storages: Any, series: Series) -> list[Any] | None:
    """Return the aggregations that take a series, one for each reader and view; None where that
    cannot be said once and for all."""
    found = []
    try:
        for storage in list(storages.values()):
            for match in storage._instrument_view_instrument_matches[instrument]:
                if match._reset_on_collect:
                    return None  # dropped at each collection
                kept = match._view._attribute_keys
                named = {k: v for k, v in series.items() if kept is None or k in kept}
                found.append(match._attributes_aggregation[_hash(named)])
    except (AttributeError, KeyError, TypeError):  # KeyError: over the reader's limit, for one
        return None
    return found

"""Gives the SDK's metrics of a forked child locks that nobody holds, and sums that start from zero.

A fork copies memory as it is at that moment. Where another thread was collecting or aggregating
just then, its locks stay locked in the child, in which that thread is gone; and what the parent
counted would be exported by the child as its own. The SDK renews the provider's locks only (as of
1.45.2), so this reaches into it: all in `renew`, which looks first whether all of it is there.

Runs in the child on the thread that forked, before any code of the service does.
"""

import logging
import sys
from threading import Lock, RLock
from typing import Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader

__all__ = ["missing", "renew"]

_PROVIDER: Final = ("_lock", "_meter_lock", "_all_metric_readers_lock", "_meters")
_METER: Final = (
    "_instrument_registration_lock",
    "_instrument_id_instrument",
    "_instrument_ids_lock",
    "_instrument_ids",
)
_CONSUMER: Final = ("_lock", "_reader_storages", "_sdk_config", "_async_instruments")
_READER: Final = (
    "_instrument_class_temporality",
    "_instrument_class_aggregation",
    "_instrument_class_cardinality_limit",
)
_MAPPING_PACKAGE: Final = "opentelemetry.sdk.metrics._internal.exponential_histogram.mapping."
_MAPPINGS: Final = (
    ("exponent_mapping", "ExponentMapping"),
    ("logarithm_mapping", "LogarithmMapping"),
)
_STORAGE: Final = ("_lock", "_instrument_view_instrument_matches")

_logger = logging.getLogger("otel_metrics.pipeline")
_said = False


def missing(provider: MeterProvider) -> list[str]:
    """Return what this SDK lacks of that which `renew` replaces, by name; none on a known one."""
    consumer = getattr(provider, "_measurement_consumer", None)
    found: list[tuple[object, str]] = [(provider, name) for name in _PROVIDER]
    found += [(consumer, name) for name in _CONSUMER]
    for meter in dict(getattr(provider, "_meters", {})).values():
        found += [(meter, name) for name in _METER]
    for reader, storage in dict(getattr(consumer, "_reader_storages", {})).items():
        found += [(reader, name) for name in _READER]
        found += [(storage, name) for name in _STORAGE]
    return sorted({f"{type(of).__name__}.{name}" for of, name in found if not hasattr(of, name)})


def renew(provider: MeterProvider) -> bool:
    """Replace the locks of `provider` and rebuild the storage of each of its readers.

    A reader that the service made starts from zero too. Where this SDK is built in another way,
    nothing is touched, one log line says so, and the answer is False.
    """
    absent = missing(provider)
    if absent:
        _say_once(absent)
        return False
    sdk: Any = provider  # none of what follows is in its public interface
    consumer = sdk._measurement_consumer
    sdk._lock, sdk._meter_lock = Lock(), Lock()
    MeterProvider._all_metric_readers_lock = Lock()
    for meter in sdk._meters.values():
        _renew_meter(meter)
    consumer._lock = Lock()
    consumer._reader_storages = {
        reader: type(storage)(consumer._sdk_config, *(getattr(reader, name) for name in _READER))
        for reader, storage in consumer._reader_storages.items()
    }
    for reader in consumer._reader_storages:
        _renew_reader(reader)
    _renew_mappings()
    return True


def _renew_meter(meter: Any) -> None:
    """Renew a meter's locks, and forget an instrument that was half made just now: asked for it
    again, the meter would take it for made."""
    meter._instrument_registration_lock, meter._instrument_ids_lock = Lock(), Lock()
    made = meter._instrument_id_instrument
    meter._instrument_ids = {id_: at for id_, at in meter._instrument_ids.items() if id_ in made}


def _renew_reader(reader: Any) -> None:
    """Renew the lock of a reader of the SDK's own, which may be exporting just now."""
    if isinstance(reader, PeriodicExportingMetricReader) and hasattr(reader, "_export_lock"):
        reader._export_lock = Lock()
    elif isinstance(reader, InMemoryMetricReader) and hasattr(reader, "_lock"):
        reader._lock = RLock()


def _renew_mappings() -> None:
    """Renew the locks of the tables that all exponential histograms share.

    The modules are looked up, not imported: an import just now could wait for a thread that is
    gone, and what is not loaded holds no lock.
    """
    for module, name in _MAPPINGS:
        mapping = getattr(sys.modules.get(_MAPPING_PACKAGE + module), name, None)
        if mapping is not None:
            mapping._mappings_lock = Lock()


def _say_once(absent: list[str]) -> None:
    global _said
    if not _said:
        _said = True
        _logger.warning(
            "this opentelemetry-sdk has no %s: a forked child may hang where a metric reader of "
            "the service's own was collecting at the moment of the fork; use a release of the SDK "
            "that this package was tested with",
            ", ".join(absent),
        )

"""The band that a value lies in. Pure."""

from otel_metrics.catalog.model import Band, Bands
from otel_metrics.service.samples import BandName

__all__ = ["band_of"]


def band_of(value: float, bands: Bands | None) -> BandName | None:
    """Return the band of a value: good, else critical, else warning; None without bands.

    Bounds belong to their band.

    Example:
        >>> from otel_metrics.catalog.model import Band, Bands
        >>> band_of(70, Bands(good=Band(upper=70), critical=Band(lower=85)))
        'good'
    """
    if bands is None:
        return None
    if _holds(bands.good, value):
        return "good"
    return "critical" if _holds(bands.critical, value) else "warning"


def _holds(band: Band, value: float) -> bool:
    """Tell whether a value lies in a band; one whose bounds part it has two sides."""
    above = band.lower is None or value >= band.lower
    below = band.upper is None or value <= band.upper
    if band.lower is not None and band.upper is not None and band.lower > band.upper:
        return above or below
    return above and below

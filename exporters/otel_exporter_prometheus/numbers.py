"""Numbers as the text formats write them. Pure."""

import math
import operator
from decimal import Decimal
from typing import Final, SupportsFloat, SupportsIndex

__all__ = ["le", "number", "sample_value"]

_DIGITS_MAX: Final = 308
"""A longer integer is no float any more, and one of it would fail Prometheus' whole scrape."""


def sample_value(value: object) -> str:
    """Write a sample's value; raise `TypeError` or `ValueError` for what is no number."""
    if isinstance(value, int):
        text = int.__repr__(value)
        if len(text) > _DIGITS_MAX:
            raise ValueError(f"an integer of {len(text)} digits is no sample")
        return text
    if not isinstance(value, float):
        return sample_value(number(value))
    if math.isfinite(value):
        return float.__repr__(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def number(value: object) -> int | float:
    """Return what counts as a number elsewhere, such as NumPy's integers and `Decimal`, as one of
    Python's own; raise `TypeError` or `ValueError` for what is none."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, SupportsIndex):
        return operator.index(value)
    if isinstance(value, SupportsFloat):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no number")


def le(bound: float) -> str:
    """Write a bucket's bound in the canonical form of OpenMetrics 1.0.0: `1.0`, `2.5`, `1e+06`."""
    bound = float(bound)
    if math.isinf(bound):
        return "+Inf"
    if bound == 0:
        return "0.0"
    decimal = Decimal(float.__repr__(bound)).normalize()
    exponent = decimal.adjusted()
    if -5 < exponent < 6:
        text = format(decimal, "f")
        return text if "." in text else text + ".0"
    mantissa = format(decimal.scaleb(-exponent), "f")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"

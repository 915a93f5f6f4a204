"""What a recorder must look into before it hands it on: numbers in a range, flags, times.

What a recorder only passes on needs none of this: the handle looks at it.
"""

from typing import Final

from otel_metrics import values
from otel_metrics.rejections import reject

__all__ = ["NS_PER_S", "amount", "count", "flag", "timestamp_ns"]

NS_PER_S: Final = 1_000_000_000


def amount(
    name: str, value: object, *, negative: bool = False, most: float | None = None
) -> float | None:
    """Return `value` as a finite float that is not below 0, unless `negative`, nor over `most`.

    None, counted as rejected under `name`, where it is none.
    """
    try:
        taken = float(values.number(value, integer=False, negative=negative))
    except values.RejectedValueError as error:
        reject(name, error.reason, error.accepted)
        return None
    if most is not None and taken > most:
        reject(name, "out_of_range", f"a number from 0 to {most:g}")
        return None
    return taken


def count(name: str, value: object) -> int | None:
    """Return `value` as an int from 0; None, counted as rejected under `name`, where it is none."""
    try:
        return int(values.number(value, integer=True, negative=False))
    except values.RejectedValueError as error:
        reject(name, error.reason, error.accepted)
        return None


def flag(name: str, value: object) -> bool | None:
    """Return what equals True or False as such; None, counted as rejected, where it is neither."""
    try:
        if value in (True, False):
            return bool(value)
    except Exception:  # noqa: BLE001, S110  # == is the caller's code; the next line accounts for it
        pass
    reject(name, "not_a_bool", "True or False")
    return None


def timestamp_ns(name: str, timestamp: float | None) -> int | None:
    """Return Unix seconds as Unix nanoseconds; None, which is now, where there are none."""
    if timestamp is None:
        return None
    seconds = amount(name, timestamp, most=values.INT64_MAX // NS_PER_S)
    return None if seconds is None else int(seconds * NS_PER_S)

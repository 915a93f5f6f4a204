"""What a recorder must look into before it hands it on: numbers in a range, flags, names, times.

What a recorder only passes on needs none of this: the handle looks at it. What still raises in a
recorder, whose arguments are the caller's objects with the caller's code, ends at `never_raises`.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec

from otel_metrics import values
from otel_metrics.errors import RecordingError
from otel_metrics.rejections import reject

__all__ = [
    "NS_PER_S",
    "TIME_S_MAX",
    "amount",
    "count",
    "flag",
    "name",
    "nanoseconds",
    "never_raises",
    "timestamp_ns",
]

P = ParamSpec("P")

NS_PER_S: Final = 1_000_000_000
US_PER_S: Final = 1_000_000
TIME_S_MAX: Final = values.INT64_MAX // NS_PER_S
"""The latest time of a record, in Unix seconds: what OTLP carries."""


def never_raises(metric: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Let nothing leave a recorder: what would is counted as rejected under `metric`.

    A call that does not fit the recorder's signature is a `TypeError` all the same: that is a
    mistake in the program, and not in its data. In strict mode a `RecordingError` leaves it.
    """

    def guard(record: Callable[P, None]) -> Callable[P, None]:
        @wraps(record)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                record(*args, **kwargs)
            except RecordingError:
                raise
            except Exception as error:
                if error.__traceback__ is None or error.__traceback__.tb_next is None:
                    raise  # no line of the recorder ran: its signature was not met
                kind = type(error).__qualname__
                reject(metric, "hostile_value", f"values that do not raise {kind} when read")

        return guarded

    return guard


def amount(
    metric: str, value: object, *, negative: bool = False, most: float | None = None
) -> float | None:
    """Return `value` as a finite float that is not below 0, unless `negative`, nor over `most`.

    None, counted as rejected under `metric`, where it is none.
    """
    try:
        taken = float(values.number(value, integer=False, negative=negative))
    except values.RejectedValueError as error:
        reject(metric, error.reason, error.accepted)
        return None
    if most is not None and taken > most:
        reject(metric, "out_of_range", f"a number from 0 to {most:g}")
        return None
    return taken


def count(metric: str, value: object) -> int | None:
    """Return `value` as an int from 0; None, counted as rejected under `metric`, where not."""
    try:
        return int(values.number(value, integer=True, negative=False))
    except values.RejectedValueError as error:
        reject(metric, error.reason, error.accepted)
        return None


def flag(metric: str, value: object) -> bool | None:
    """Return what equals True or False as such; None, counted as rejected, where it is neither."""
    try:
        if value in (True, False):
            return bool(value)
    except Exception:  # noqa: BLE001, S110  # == is the caller's code; the next line accounts for it
        pass
    reject(metric, "not_a_bool", "True or False")
    return None


def name(metric: str, value: object, accepted: str) -> str | None:
    """Return a name as plain text; None, counted as rejected, where it is empty or no text."""
    try:
        taken = values.label(value) if isinstance(value, str) else None
    except Exception:  # noqa: BLE001  # a proxy, whose `__class__` is its own code
        taken = None
    if isinstance(taken, str) and taken:
        return taken
    reject(metric, "no_name", accepted)
    return None


def timestamp_ns(metric: str, timestamp: float | None) -> int | None:
    """Return Unix seconds as Unix nanoseconds; None, which is now, where there are none.

    Rounded to microseconds: a float of today's seconds is no finer, and so 0.1 s are 0.1 s.
    """
    if timestamp is None:
        return None
    seconds = amount(metric, timestamp, most=TIME_S_MAX)
    return None if seconds is None else nanoseconds(seconds)


def nanoseconds(seconds: float) -> int:
    """Return finite seconds as nanoseconds, rounded to microseconds."""
    return round(seconds * US_PER_S) * (NS_PER_S // US_PER_S)

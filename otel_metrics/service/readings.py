"""What a source answers when it is asked, and in which ways that can fail.

Pure. A source is a function without arguments that returns `Readings` or raises `SourceError`; it
may wait, since it runs on a thread of its own (`sampler.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from otel_metrics import values

__all__ = ["RESOURCES_MAX", "Checked", "ErrorType", "Read", "Readings", "SourceError", "checked"]

RESOURCES_MAX: Final = 1_000
"""Resources of one metric that have a value; an answer with more is refused whole, since a part
of it would pass for all."""

ErrorType = Literal[
    "ambiguous",
    "configuration",
    "connection",
    "exception",
    "no_rows",
    "not_a_number",
    "partial",
    "query",
    "timeout",
    "too_many_resources",
]
"""`error.type` of `service.source.errors`."""

Readings = Mapping[str | None, object]
"""Number by resource id; the id None is a metric's only resource. The number None says that there
is nothing to tell now, such as a share of nothing: no value, and no error."""
Read = Callable[[], Readings]


class SourceError(Exception):
    """A source that gave no answer of use.

    Attributes:
        kind: what `service.source.errors` counts it under.
    """

    def __init__(self, kind: ErrorType, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer that was looked at.

    Attributes:
        numbers: by resource id, None where there is nothing to tell.
        faults: what is wrong with the value of a resource.
    """

    numbers: Mapping[str | None, float | None]
    faults: Mapping[str | None, SourceError]


def checked(readings: Readings) -> Checked:
    """Return an answer in finite numbers by short names, and what of it is wrong.

    Raises:
        SourceError: there are more than `RESOURCES_MAX` resources, or two of one name.
    """
    if len(readings) > RESOURCES_MAX:
        raise SourceError(
            "too_many_resources",
            f"it gives {len(readings)} resources, at most {RESOURCES_MAX} are taken; group by less",
        )
    numbers: dict[str | None, float | None] = {}
    faults: dict[str | None, SourceError] = {}
    for given, value in readings.items():
        id_ = None if given is None else str(values.label(given))
        if id_ in numbers or id_ in faults:
            raise SourceError("ambiguous", f"it gives two values for {id_!a}; one a resource")
        try:
            numbers[id_] = _number(value)
        except SourceError as fault:
            faults[id_] = fault
    return Checked(numbers, faults)


def _number(value: object) -> float | None:
    if value is None:
        return None
    try:
        return float(values.number(value, integer=False, negative=True))
    except values.RejectedValueError as error:
        is_number = error.reason in ("not_finite", "out_of_range")
        what = repr(value)[:50] if is_number else f"a {type(value).__name__}"
        raise SourceError("not_a_number", f"a value is {what}, not a finite number") from None

"""What stands under a name and labels: a number, the counts of a histogram, or those by octaves.

Light twins of the SDK's data points, with the attributes that the page needs under the same names;
they are what processes publish to each other, and what comes of merging.
"""

from collections.abc import Sequence

from msgspec import Struct
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

__all__ = ["Buckets", "Number", "Octaves", "Point", "Shown"]


class Shown(Struct, array_like=True, frozen=True, gc=False):
    """An exemplar as a line carries it; `inside` is what stands between its braces."""

    inside: str
    value: int | float
    time_unix_nano: int


class Number(Struct, array_like=True, gc=False):
    """The value of a counter or a gauge; `time_unix_nano` says when a gauge got it."""

    value: int | float
    time_unix_nano: int = 0
    exemplars: tuple[Shown, ...] = ()


class Buckets(Struct, array_like=True, gc=False):
    """A histogram with explicit bounds, which its family holds: a count for each bucket."""

    bucket_counts: Sequence[int]
    sum: int | float | None
    exemplars: tuple[Shown, ...] = ()


class Octaves(Struct, array_like=True, gc=False):
    """An exponential histogram by powers of two.

    `counts` is by exponent e of the bucket (2**(e-1), 2**e]; `least` counts what is up to 0.
    """

    least: int
    counts: dict[int, int]
    sum: int | float
    exemplars: tuple[Shown, ...] = ()


Point = NumberDataPoint | HistogramDataPoint | Number | Buckets | Octaves

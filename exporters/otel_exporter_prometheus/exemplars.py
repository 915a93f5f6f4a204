"""Exemplars as OpenMetrics 1.0.0 writes them: ` # {trace_id="..."} value timestamp`.

Pure. Only counters and histogram buckets may carry one each; the newest is taken.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from opentelemetry.sdk.metrics import Exemplar

from otel_exporter_prometheus.labels import as_string, clean
from otel_exporter_prometheus.naming import label_name
from otel_exporter_prometheus.numbers import number, sample_value
from otel_exporter_prometheus.points import Shown

__all__ = ["EXEMPLARS_MAX", "LABEL_CHARACTERS_MAX", "by_bucket", "newest", "shown"]

LABEL_CHARACTERS_MAX: Final = 128
"""What names and values of an exemplar's labels may take together, by the format."""

EXEMPLARS_MAX: Final = 20
"""At most so many exemplars of a series are kept where those of several are put together."""


def newest(exemplars: Iterable[Exemplar | Shown]) -> str:
    """Return the suffix for a counter's line."""
    return _suffix(max(exemplars, key=_time))


def by_bucket(exemplars: Iterable[Exemplar | Shown], bounds: Sequence[float]) -> dict[int, str]:
    """Return the suffix for each bucket's line that gets one, by the index of the bucket."""
    chosen: dict[int, Exemplar | Shown] = {}
    for exemplar in sorted(exemplars, key=_time):
        chosen[bisect_left(bounds, exemplar.value)] = exemplar
    return {index: _suffix(exemplar) for index, exemplar in chosen.items()}


def shown(exemplars: Sequence[Exemplar | Shown], *, most: int = EXEMPLARS_MAX) -> tuple[Shown, ...]:
    """Return the newest `most` of a series' exemplars in the form that processes publish."""
    if not exemplars:
        return ()
    chosen = sorted(exemplars, key=_time)[-most:]
    return tuple(
        each
        if isinstance(each, Shown)
        else Shown(_inside(each), number(each.value), each.time_unix_nano)
        for each in chosen
    )


def _time(exemplar: Exemplar | Shown) -> int:
    return exemplar.time_unix_nano


def _suffix(exemplar: Exemplar | Shown) -> str:
    inside = exemplar.inside if isinstance(exemplar, Shown) else _inside(exemplar)
    seconds, nanoseconds = divmod(exemplar.time_unix_nano, 10**9)
    return f" # {{{inside}}} {sample_value(exemplar.value)} {seconds}.{nanoseconds:09d}"


def _inside(exemplar: Exemplar) -> str:
    labels: dict[str, str] = {}
    if exemplar.trace_id:
        labels["trace_id"] = format(exemplar.trace_id, "032x")
    if exemplar.span_id:
        labels["span_id"] = format(exemplar.span_id, "016x")
    room = LABEL_CHARACTERS_MAX - sum(len(label) + len(labels[label]) for label in labels)
    for key, given in (exemplar.filtered_attributes or {}).items():
        label, value = label_name(str(key)), clean(as_string(given))[0]
        fits = len(label) + len(value) <= room
        if fits and value and label not in labels and not _needs_escape(value):
            labels[label] = value
            room -= len(label) + len(value)
    return ",".join([f'{label}="{value}"' for label, value in labels.items()])


def _needs_escape(value: str) -> bool:
    """Say whether readers would have to unescape, which the official Python one does wrong here."""
    return "\\" in value or '"' in value or "\n" in value

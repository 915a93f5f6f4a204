"""Whether telemetry is well: the page's own families -> `Health`. `examine` is pure; a `Watch`
remembers earlier totals, and is given the clock.

It says nothing of the service: a service whose telemetry is down works as before. Three metrics are
looked at. `delivery_state` is 0 for an exporter that does not deliver; `archive_errors_total` grows
with each error of the archive; `pipeline_progress_age_seconds` grows while no collection ends.

An archive error counts as recent for `LATELY_S` after it was first seen. Totals are compared with
what was seen at least that long ago; where nothing was, with the oldest that was seen; the first
time with zero. So an error that nobody asked about is recent when somebody asks again.
"""

import re
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.metrics.export import NumberDataPoint

from otel_exporter_prometheus.merge import Family
from otel_exporter_prometheus.points import Number

__all__ = ["LATELY_S", "STALLED_AFTER_S", "Health", "Watch", "examine"]

LATELY_S: Final = 300.0
"""How long an archive error makes telemetry unwell."""
STALLED_AFTER_S: Final = 120.0
"""Twice the usual time between two collections: a pipeline without one for so long is stalled."""
LOOK_EVERY_S: Final = 10.0
"""Totals are remembered at most this often, so that `LATELY_S` of them are few."""

_DOWN: Final = "delivery_state"
_ERRORS: Final = "archive_errors_total"
_AGE: Final = "pipeline_progress_age_seconds"
_LABEL: Final = re.compile(r'([A-Za-z_:][A-Za-z0-9_:]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was found.

    Attributes:
        down: exporters that do not deliver.
        errors: errors of the archive lately.
        progress_age_s: seconds since a collection ended, None where the page does not tell.
        problems: a sentence for each thing that is not well.
    """

    down: tuple[str, ...] = ()
    errors: int = 0
    progress_age_s: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_json(self) -> dict[str, object]:
        """Return what `/healthz` says."""
        return {
            "status": "ok" if self.ok else "degraded",
            "problems": list(self.problems),
            "exporters_down": list(self.down),
            "archive_errors": self.errors,
            "progress_age_seconds": self.progress_age_s,
        }


UNKNOWN: Final = Health(problems=("the metrics cannot be collected",))
"""Where there is no page to look at."""


def examine(
    families: Sequence[Family],
    *,
    errors_before: float = 0.0,
    stalled_after_s: float = STALLED_AFTER_S,
) -> Health:
    """Say what is wrong.

    Args:
        families: what the page shows.
        errors_before: the total of archive errors of which nothing is to be said any more.
        stalled_after_s: how old the last collection may be.
    """
    states = _values(families, _DOWN)
    down = tuple(sorted({_label(labels, "exporter") for labels, value in states if value == 0}))
    errors = max(0, round(errors_total(families) - errors_before))
    age_s = max((value for _, value in _values(families, _AGE)), default=None)
    problems = [f"exporter {name} does not deliver" for name in down]
    if errors:
        problems.append(f"{errors} errors of the archive lately")
    if age_s is not None and age_s > stalled_after_s:
        problems.append(f"no collection has ended for {age_s:.0f} s")
    return Health(down=down, errors=errors, progress_age_s=age_s, problems=tuple(problems))


def errors_total(families: Sequence[Family]) -> float:
    """Return how many errors the archive had since the start."""
    return sum(value for _, value in _values(families, _ERRORS))


class Watch:
    """Remembers totals of archive errors for as long as they matter; any thread may ask."""

    def __init__(self, *, stalled_after_s: float = STALLED_AFTER_S) -> None:
        self._stalled_after_s = stalled_after_s
        self._lock = threading.Lock()
        self._totals: deque[tuple[float, float]] = deque()

    def look(self, families: Sequence[Family] | None, now: float) -> Health:
        """Say what is wrong at `now`, and remember it."""
        if families is None:
            return UNKNOWN
        with self._lock:
            before = self._before(errors_total(families), now)
        return examine(families, errors_before=before, stalled_after_s=self._stalled_after_s)

    def _before(self, total: float, now: float) -> float:
        totals = self._totals
        while len(totals) > 1 and totals[1][0] <= now - LATELY_S:
            totals.popleft()
        before = totals[0][1] if totals else 0.0
        if not totals:
            totals.append((now, 0.0))  # what came before the first look is recent until then
        if now - totals[-1][0] >= LOOK_EVERY_S or len(totals) == 1:
            totals.append((now, total))
        return before


def _values(families: Sequence[Family], name: str) -> list[tuple[str, float]]:
    return [
        (labels, float(point.value))
        for family in families
        if family.name == name
        for labels, point in family.series.items()
        if isinstance(point, NumberDataPoint | Number)
    ]


def _label(labels: str, name: str) -> str:
    """Return a label's value from the label part of a series, as `labels.join` writes it."""
    for found in _LABEL.finditer(labels):
        if found[1] == name:
            return _ESCAPED.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], found[2])
    return ""

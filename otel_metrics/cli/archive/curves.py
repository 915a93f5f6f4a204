"""What `archive plot` draws: a metric's points in steps of time, from the views of an archive.

A counter is drawn as its increase in each step, a gauge and an up-down counter as their value, a
histogram as its mean or a quantile. An increase is spread evenly over the interval that it is of.
A step in which nothing was recorded has no value.
"""

# ruff: noqa: S608  # made of our own words and quoted literals, and run with the caller's rights

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from otel_metrics.archive.views import literal
from otel_metrics.cli.archive.multiples import in_multiples
from otel_metrics.cli.archive.spreading import BEGAN, spread
from otel_metrics.errors import OtelMetricsError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Curves", "NoQuantileError", "Wanted", "attributes", "curves", "names", "step_text"]

SERIES_MAX: Final = 8
"""Lines of one plot; more cannot be told apart."""
_STEPS_S: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    *(86400, 172800, 604800, 2592000, 7776000, 31536000),
)
_COLUMNS: Final = ("service", "instance", "scope")
_SOURCE: Final = "hash(service, instance, scope, attributes)"
_NS: Final = 10**9
_HISTOGRAM: Final = "histogram"


class NoQuantileError(OtelMetricsError, ValueError):
    """A metric has no quantiles; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be drawn.

    Attributes:
        by: attributes, or service, instance, scope, each value of which has a line of its own.
        where: attributes and the values that they must have.
        quantile: of a histogram, instead of the mean.
        steps: at most this many.
        since: in nanoseconds since 1970; of an interval that began before only the rest is drawn.
    """

    metric: str
    by: Sequence[str]
    where: Mapping[str, str]
    quantile: float | None
    steps: int
    since: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Lines over one axis of time.

    Attributes:
        unit: of the values; bytes are in a multiple that suits them.
        what: what the values are.
        start_s, step_s: where the first step begins, since 1970, and how long each is.
        lines: by name, a value for each step, or None where nothing was recorded.
        left_out: lines beyond the most that are drawn.
    """

    metric: str
    unit: str
    what: str
    start_s: int
    step_s: int
    lines: Mapping[str, Sequence[float | None]]
    left_out: int


def names(connection: "DuckDBPyConnection") -> list[str]:
    """Return every metric that there is."""
    rows = connection.execute("SELECT DISTINCT metric FROM metrics WHERE metric IS NOT NULL")
    return sorted(row[0] for row in rows.fetchall())


def attributes(connection: "DuckDBPyConnection", metric: str) -> list[str]:
    """Return what the points of a metric can be told apart by; nothing where there are none."""
    rows = connection.execute(
        "SELECT DISTINCT unnest(json_keys(attributes)) FROM metrics "
        f"WHERE metric = {literal(metric)}"
    ).fetchall()
    return [*sorted(row[0] for row in rows), *_COLUMNS]


def curves(connection: "DuckDBPyConnection", wanted: Wanted) -> Curves | None:
    """Return the lines of a metric, or None where it has no points.

    Raises:
        NoQuantileError: a quantile is wanted of what has none.
    """
    name = literal(wanted.metric)
    facts = connection.execute(
        f"SELECT type, coalesce(monotonic, true), coalesce(unit, '') FROM metrics "
        f"WHERE metric = {name} LIMIT 1"
    ).fetchone()
    if facts is None:
        return None
    kind, monotonic, unit = facts
    if wanted.quantile is not None and kind != _HISTOGRAM:
        raise NoQuantileError(_no_quantile(wanted.metric, kind))
    counts = kind != "gauge" and (monotonic or kind != "sum")
    _gather(connection, wanted, counts=counts)
    step_s = _step_s(connection, wanted.steps)
    if step_s is None:
        return None
    if counts:
        spread(connection, step_s)
    if not counts:
        what, rows = _values(connection, step_s, summed=kind == "sum")
    elif kind == "sum":
        what, rows = f"increase per {step_text(step_s)}", _increases(connection)
    elif wanted.quantile is None:
        what, rows = f"mean per {step_text(step_s)}", _means(connection)
    else:
        what = f"quantile {wanted.quantile:g} per {step_text(step_s)}"
        rows = _quantiles(connection, wanted.quantile, _extremes(connection, wanted))
    return _laid_out(wanted.metric, unit, what, step_s, rows)


def step_text(step_s: int) -> str:
    """Return a step in words: `5 min`."""
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if step_s % size == 0:
            return f"{step_s // size} {word}"
    return f"{step_s} s"


def _gather(connection: "DuckDBPyConnection", wanted: Wanted, *, counts: bool) -> None:
    """Read the archive once; the questions after it are put to a table."""
    columns = (
        f"{BEGAN} AS began, greatest(began, least({wanted.since or 0}, ns - 1)) AS shown, "
        "ns - began AS apart, increase, sum_increase, bounds, counts_increase"
        if counts
        else "ns AS shown, ns - lag(ns) OVER (PARTITION BY source ORDER BY ns) AS apart, value"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE gathered AS SELECT epoch_ns(time) AS ns, "
        f"{_label(wanted)} AS line, {_SOURCE} AS source, {columns} "
        f"FROM {'increments' if counts else 'metrics'} WHERE {_conditions(wanted)}"
    )


def _label(wanted: Wanted) -> str:
    parts = [_part(by) for by in wanted.by]
    return f"concat_ws(', ', {', '.join(parts)})" if parts else "''"


def _conditions(wanted: Wanted) -> str:
    conditions = [f"metric = {literal(wanted.metric)}", "time IS NOT NULL"] + [
        f"{_column(key)} = {literal(value)}" for key, value in wanted.where.items()
    ]
    return " AND ".join(conditions)


def _column(key: str) -> str:
    return f'"{key}"' if key in _COLUMNS else f"attr(attributes, {literal(key)})"


def _part(by: str) -> str:
    return f"coalesce({_column(by)}, '(none)')"


def _step_s(connection: "DuckDBPyConnection", steps: int) -> int | None:
    """Return a round step, no shorter than the time between two points: that would draw gaps."""
    row = connection.execute(
        "SELECT max(ns) - min(shown), quantile_disc(apart, 0.5) FILTER (apart > 1) FROM gathered"
    ).fetchone()
    if row is None or row[0] is None:
        return None
    span_ns, between_ns = row
    least_s = max(span_ns / steps, 1.1 * (between_ns or 0)) / _NS
    return next((step for step in _STEPS_S if step >= least_s), _STEPS_S[-1])


Rows = list[tuple[int, str, float]]
Extremes = Mapping[tuple[int, str], tuple[float, float]]


def _increases(connection: "DuckDBPyConnection") -> Rows:
    return _rows(connection, "SELECT step, line, sum(share * increase) FROM pieces GROUP BY 1, 2")


def _means(connection: "DuckDBPyConnection") -> Rows:
    return _rows(
        connection,
        "SELECT step, line, sum(share * sum_increase) / sum(share * increase) FROM pieces "
        "GROUP BY 1, 2 HAVING sum(share * increase) > 0",
    )


def _values(connection: "DuckDBPyConnection", step_s: int, *, summed: bool) -> tuple[str, Rows]:
    rows = _rows(
        connection,
        f"SELECT step, line, {'sum' if summed else 'avg'}(newest) FROM ("
        f"SELECT {_at(step_s)} AS step, line, source, arg_max(value, ns) AS newest "
        "FROM gathered WHERE isfinite(value) GROUP BY 1, 2, 3) GROUP BY 1, 2",
    )
    several = connection.execute(
        "SELECT max(n) FROM (SELECT count(DISTINCT source) AS n FROM gathered GROUP BY line)"
    ).fetchone()
    if several is None or (several[0] or 0) <= 1:
        return "value", rows
    return "sum of all series" if summed else "mean of all series", rows


def _no_quantile(metric: str, kind: str) -> str:
    if "histogram" in kind:
        return f"{metric} is an exponential histogram, whose quantiles are not drawn; leave it out"
    return f"{metric} is a {kind}, and has no quantiles; they are of a histogram"


def _extremes(connection: "DuckDBPyConnection", wanted: Wanted) -> Extremes:
    """Return the least and the greatest value of each step and line, where every point says them.

    A point says them of all that it counts, from its start on: what is of its interval is between.
    """
    rows = connection.execute(
        "WITH said AS ("
        f'SELECT epoch_ns(time) AS ns, {_SOURCE} AS source, min("min") AS least, '
        f'max("max") AS most FROM metrics WHERE {_conditions(wanted)} AND count > 0 GROUP BY 1, 2'
        ") SELECT step, line, "
        "CASE WHEN bool_and(coalesce(isfinite(least), false)) THEN min(least) END, "
        "CASE WHEN bool_and(coalesce(isfinite(most), false)) THEN max(most) END "
        "FROM pieces LEFT JOIN said USING (ns, source) WHERE increase > 0 GROUP BY 1, 2"
    ).fetchall()
    return {
        (step, line): (-math.inf if least is None else least, math.inf if most is None else most)
        for step, line, least, most in rows
    }


def _quantiles(connection: "DuckDBPyConnection", quantile: float, extremes: Extremes) -> Rows:
    found = connection.execute(
        "SELECT step, line, bounds, list(n ORDER BY bucket) FROM ("
        "SELECT step, line, bounds, bucket, sum(n) AS n FROM ("
        "SELECT step, line, bounds, share * unnest(counts_increase) AS n, "
        "unnest(range(len(counts_increase))) AS bucket FROM pieces) GROUP BY 1, 2, 3, 4) "
        "GROUP BY 1, 2, 3"
    ).fetchall()
    rows = []
    for step, line, bounds, counts in found:
        value = _quantile(quantile, bounds, counts)
        if value is not None:
            least, most = extremes.get((step, line), (-math.inf, math.inf))
            rows.append((step, line, min(max(value, least), most)))
    return rows


def _quantile(quantile: float, bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """Return the value inside its bucket as if values were spread evenly there, as Prometheus."""
    upto = list(accumulate(counts))
    reached = upto[-1] if upto else 0
    if not bounds or reached <= 0:
        return None
    rank = quantile * reached
    bucket = bisect_left(upto, rank)
    if bucket >= len(bounds):
        return bounds[-1]
    low = bounds[bucket - 1] if bucket else min(0.0, bounds[0])
    before = upto[bucket - 1] if bucket else 0
    inside = upto[bucket] - before
    return low + (bounds[bucket] - low) * ((rank - before) / inside if inside else 1.0)


def _at(step_s: int) -> str:
    return f"ns // {step_s * _NS}"


def _rows(connection: "DuckDBPyConnection", sql: str) -> Rows:
    return [row for row in connection.execute(sql).fetchall() if row[2] is not None]


def _laid_out(metric: str, unit: str, what: str, step_s: int, rows: Rows) -> Curves | None:
    if not rows:
        return None
    first, last = min(row[0] for row in rows), max(row[0] for row in rows)
    weight: dict[str, float] = {}
    for _, line, value in rows:
        weight[line] = weight.get(line, 0.0) + abs(value)
    kept = sorted(sorted(weight, key=lambda line: -weight[line])[:SERIES_MAX])
    lines: dict[str, list[Any]] = {line: [None] * (last - first + 1) for line in kept}
    for step, line, value in rows:
        if line in lines:
            lines[line][step - first] = float(value)
    unit, shown = in_multiples(unit, lines)
    return Curves(
        metric=metric,
        unit=unit,
        what=what,
        start_s=first * step_s,
        step_s=step_s,
        lines=shown,
        left_out=len(weight) - len(kept),
    )

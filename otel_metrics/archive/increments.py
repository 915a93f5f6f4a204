"""The view `increments` as SQL text: of each series and interval, by how much it rose.

That is what "how many" means. A cumulative point says how many since the process began, so points
must not be added; the differences between them may be.
"""

# ruff: noqa: S608  # made of our own words and quoted literals, and run with the caller's rights

import os
from collections.abc import Mapping, Sequence
from typing import Final

from otel_metrics.archive.views import Window, points, within

__all__ = ["VIEW", "view"]

VIEW: Final = "increments"
PARTS_MAX: Final = 16
_SERIES: Final = (
    "service, instance, scope, metric, type, unit, temporality, monotonic, attributes, start"
)
# What a writer wrote is in the order of its segments and, inside each, of its lines: a clock that
# was set back in between would look like a reset. A point that was written twice, because an
# export that failed was tried again, is the same as the one before it.
_BODY: Final = f"""
WITH lined AS (
    {{points}}
), stepped AS (
    SELECT *,
        coalesce(value, count) AS total,
        lag(coalesce(value, count)) OVER series AS total_before,
        lag(sum) OVER series AS sum_before,
        lag(counts) OVER series AS counts_before,
        lag(time) OVER series AS time_before,
        lag(line) OVER series AS line_before
    FROM lined
    WHERE type <> 'gauge' AND coalesce(value, count) IS NOT NULL
    WINDOW series AS (PARTITION BY {_SERIES} ORDER BY sequence, line)
), judged AS (
    SELECT *,
        line_before IS NULL OR temporality = 'delta' AS is_first,
        coalesce(total < total_before AND (monotonic OR type <> 'sum'), false) AS is_reset
    FROM stepped
    WHERE line_before IS NULL
        OR time_before IS DISTINCT FROM time
        OR total_before IS DISTINCT FROM total
)
SELECT
    time,
    CASE WHEN is_first THEN start ELSE time_before END AS start,
    metric, type, unit, monotonic, scope, attributes,
    CASE WHEN is_first OR is_reset THEN total ELSE total - total_before END AS increase,
    CASE WHEN is_first OR is_reset THEN sum ELSE sum - sum_before END AS sum_increase,
    bounds,
    CASE
        WHEN is_first OR is_reset THEN counts
        ELSE list_transform(list_zip(counts, counts_before), lambda pair: pair[1] - pair[2])
    END AS counts_increase,
    service, date, instance, sequence
FROM judged
"""


def view(files: Mapping[str, Sequence[str]], window: Window, *, strict: bool) -> str:
    """Return the view.

    Args:
        files: of each service, the files of its segments: all that there are, because the first
            interval of a window begins before it.
        window: only intervals that end in this time.
        strict: a line that is no JSON ends the query, instead of being left out.
    """
    scans = [
        f"SELECT *, row_number() OVER () AS line FROM ({points(service, part, strict=strict)})"
        for service, paths in files.items()
        for part in _parts(paths, len(files))
    ]
    body = _BODY.format(points=" UNION ALL ".join(scans))
    return f"CREATE VIEW {VIEW} AS SELECT * FROM ({body}){within(window)}"


def _parts(paths: Sequence[str], services: int) -> list[Sequence[str]]:
    """Deal out files, for lines are numbered by one thread; numbers count inside a file only."""
    parts = min(max(1, (os.cpu_count() or 1) // services), PARTS_MAX, len(paths))
    return [paths[part::parts] for part in range(parts)]

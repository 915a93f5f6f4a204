"""Increases spread evenly over their own intervals, as `archive plot` draws them.

The first increase behind segments that are gone holds hours or days; drawn where it ends it would
be a peak that never was.
"""

# ruff: noqa: S608  # made of our own words, and run with the caller's rights

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["BEGAN", "spread"]

NS: Final = 10**9
BEGAN: Final = """
    CASE WHEN epoch_ns(start) > 0 AND start < time THEN epoch_ns(start) ELSE epoch_ns(time) - 1 END
"""
"""SQL: where an interval of `increments` begins; one of which that is not known is a moment."""


def spread(connection: "DuckDBPyConnection", step_s: int) -> None:
    """Make the table `pieces` of the table `gathered`: each interval once for each of its steps.

    `share` is how much of the increase is of that step. An interval holds its end and not its
    begin. What is before `shown` is not drawn.
    """
    step_ns = step_s * NS
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE pieces AS SELECT *, "
        f"(least(ns, (step + 1) * {step_ns}) - greatest(shown, step * {step_ns})) "
        "/ (ns - began) AS share FROM (SELECT *, "
        f"unnest(range(shown // {step_ns}, (ns - 1) // {step_ns} + 1)) AS step FROM gathered)"
    )

"""A summary as a row: for people, and for `--format`. Pure functions."""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["COLUMNS", "for_people", "row"]

COLUMNS: Final = (
    "agent",
    "executions",
    "success_rate",
    "quality",
    "time_s",
    "last_execution",
    "success_trend",
    "quality_trend",
)
"""What the table shows."""


def row(agent: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary without levels."""
    flat = {key: value for key, value in summary.items() if key != "trend"}
    trends = {f"trend_{key}": value for key, value in summary["trend"].items()}
    return {"agent": agent, **flat, **trends}


def for_people(agent: str, summary: Mapping[str, Any]) -> dict[str, str]:
    """Return a summary with rounded figures; `-` stands for what is not known."""
    return {
        "agent": agent,
        "executions": f"{summary['execution_count']:,}",
        "success_rate": _rounded(summary["success_rate"]),
        "quality": _rounded(summary["avg_quality_score"]),
        "time_s": _rounded(summary["avg_execution_time_s"]),
        "last_execution": summary["last_execution"] or "-",
        "success_trend": summary["trend"]["success_rate"],
        "quality_trend": summary["trend"]["quality_score"],
    }


def _rounded(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.3f}"

"""What arrived at the far end: series on a page, records in files of OTLP JSON Lines."""

import json
import re
from collections import Counter
from pathlib import Path

from tests.otel_metrics.archive.everything import of_archive, of_lines

__all__ = ["archived", "counted", "received", "series", "times"]


def series(page: str, family: str) -> dict[str, float]:
    """Return the series of a family on a page: labels as they stand there, and value."""
    found = re.findall(rf"^{family}(?:\{{(.*)\}})? ([^ \n]+)", page, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def counted(page: str, family: str) -> float:
    """Return the sum over all series of a family on a page."""
    return sum(series(page, family).values())


def received(folder: Path) -> Counter[str]:
    """Return every point and event that `local.yaml` has written."""
    return of_lines(line for file in ("metrics", "events") for line in _lines(folder, file))


def archived(folder: Path) -> Counter[str]:
    """Return every point and event that a service has archived, in the same words."""
    return of_archive(folder / "telemetry")


def times(folder: Path, metric: str) -> list[int]:
    """Return when the points of a counter were made, in the order in which they arrived."""
    return [
        int(point["timeUnixNano"])
        for line in _lines(folder, "metrics")
        for resource in json.loads(line)["resourceMetrics"]
        for scope in resource["scopeMetrics"]
        for found in scope["metrics"]
        if found["name"] == metric
        for point in found["sum"]["dataPoints"]
    ]


def _lines(folder: Path, file: str) -> list[str]:
    path = folder / f"{file}.jsonl"
    return path.read_text().split("\n")[:-1] if path.exists() else []

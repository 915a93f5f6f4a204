"""Kills and power cuts on a file system in memory that keeps no more than it must."""

from typing import Final

from tests.otel_exporter_ndjson.crash_states import run
from tests.torture.figures import Figures
from tests.torture.plan import Plan

__all__ = ["simulated"]

HISTORIES: Final = 200


def simulated(plan: Plan) -> Figures:
    """Live through random histories, and crash behind each operation of them."""
    figures = Figures("simulated kills and power cuts")
    with figures.timed():
        report = run(HISTORIES if plan.thorough else HISTORIES // 20, plan.seed)
        figures.cycles, figures.acknowledged = report.total, report.records
        figures.violations += report.faults
        figures.remark = f"{report.histories} histories"
    return figures

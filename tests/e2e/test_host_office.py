"""Of a service's processes one reports the machine; each reports itself."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from otel_exporter_ndjson import read
from tests.e2e.services import Service, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

REPORTS = 4
"""So many times a process reports the machine before it is killed."""
PROGRAM = """
import os
import otel_metrics
from otel_metrics import instruments
otel_metrics.configure()
for _ in range(2):
    if os.fork() == 0:
        break
instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
os.read(0, 1)
"""


def reports(archived: "Archived", metric: str) -> dict[int, list[int]]:
    """Return when each process reported a metric, in nanoseconds."""
    records = list(read(archived.root, signal="metrics"))
    writers = {  # after them: a writer may have begun just now
        each["writer"]["instance"]: each["writer"]["pid"] for each in archived.lines("segment")
    }
    found: defaultdict[int, list[int]] = defaultdict(list)
    for record in records:
        if record.data["metric"] == metric and record.time_ns is not None:
            found[writers[record.instance]].append(record.time_ns)
    return dict(found)


def test_one_process_reports_the_machine(
    service: Callable[..., Service], archived: "Archived"
) -> None:
    """When it is killed another one does; what each says of itself comes from all."""
    env = {"OTEL_PYTHON_METRICS_HOST_METRICS": "auto", "OTEL_METRIC_EXPORT_INTERVAL": "100"}
    program = service(PROGRAM, env=env)
    holders: list[int] = []
    until(lambda: archived.root.exists() and len(reports(archived, "process.uptime")) == 3)
    for _ in range(3):
        until(lambda: _enough(archived, holders))
        (holder,) = set(reports(archived, "system.uptime")) - set(holders)
        holders.append(holder)
        os.kill(holder, signal.SIGKILL)
    times = [reports(archived, "system.uptime")[holder] for holder in holders]

    assert set(holders) == set(reports(archived, "process.uptime"))
    assert holders[0] == program.pid
    for ended, begun in pairwise(times):
        assert max(ended) < min(begun)


def _enough(archived: "Archived", before: list[int]) -> bool:
    """Tell whether a process has reported the machine for a while, after others."""
    found = reports(archived, "system.uptime")
    return any(len(times) >= REPORTS for each, times in found.items() if each not in before)

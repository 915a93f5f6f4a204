"""Forks of a busy service (fault D2): no child hangs, and each starts from zero."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from otel_exporter_ndjson import read
from tests.torture.figures import Figures
from tests.torture.forking import COUNTED_BEFORE, COUNTER
from tests.torture.plan import Plan

__all__ = ["forks_under_load"]

FORKS: Final = 2_500
FORKS_QUICK: Final = 300
_HERE: Final = Path(__file__).parent


def forks_under_load(plan: Plan) -> Figures:
    """Fork one child after the other while threads, readers and lanes are at work."""
    forks = FORKS if plan.thorough else FORKS_QUICK
    figures = Figures("D2 forks under load")
    with figures.timed(), plan.scratch() as folder, _collector() as endpoint:
        command = [sys.executable, str(_HERE / "forking.py"), endpoint, f"{forks}", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        figures.expect(done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-500:]}")
        if done.returncode == 0:
            _judge(figures, json.loads(done.stdout), folder)
    return figures


def _judge(figures: Figures, outcome: dict[str, object], folder: Path) -> None:
    wrong = outcome["wrong"]
    assert isinstance(wrong, list)
    figures.cycles = int(str(outcome["forks"]))
    figures.violations += wrong
    figures.expect(not outcome["hung"], f"{outcome['hung']} children hang")
    counted = _by_writer(folder)
    figures.acknowledged = sum(value == 1 for value in counted.values())
    figures.lost = figures.cycles - figures.acknowledged
    figures.phantoms = sum(value not in (1, COUNTED_BEFORE) for value in counted.values())
    figures.expect(not figures.lost, f"{figures.lost} children's counts are not in the archive")
    figures.expect(not figures.phantoms, f"{figures.phantoms} writers have what is not theirs")
    figures.remark = f"longest fork {outcome['longest_fork_s']:.2f} s"


def _by_writer(folder: Path) -> Counter[str]:
    """Return what each process has counted last."""
    last: Counter[str] = Counter()
    for record in read(folder, signal="metrics"):
        if record.data["metric"] == COUNTER:
            last[record.instance] = record.data["value"]
    return last


@contextmanager
def _collector() -> Iterator[str]:
    """Run an OTLP/gRPC endpoint that takes its time."""
    command = [sys.executable, str(_HERE / "slow_collector.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()

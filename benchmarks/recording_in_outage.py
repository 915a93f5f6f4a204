"""Does recording take longer while the collector is dead?

A service records about six hundred requests a second (a run of a skill with an outcome, with its
events in the archive) and exports every half second to a real collector (local.yaml), which is
killed and started again, in turn. Timed is what the recording of a request takes, by the service
itself; of each phase median and 99th percentile, of the rounds the medians.

Reproduce: make collector && .venv/bin/python benchmarks/recording_in_outage.py [--rounds 5]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

sys.path.append(str(Path(__file__).parents[1]))  # collector and service are those of the tests

from tests.collector_config.outages import Loaded
from tests.collector_config.running import Collector
from tests.conftest import INSTALL, located

BAR: Final = 1.25
"""A median in an outage, beside that without one."""


def main() -> None:
    """Print median and 99th percentile, with the collector and without."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each phase")
    arguments = parser.parse_args()
    otelcol = located("otelcol")
    if otelcol is None:
        sys.exit(f"not installed: {INSTALL['otelcol']}")
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {"OTELCOL_FOLDER": str(folder / "out")}
        collector = Collector(otelcol, "local", folder=folder, env=env).start()
        service = Loaded(folder / "service", _variables(collector))
        try:
            for _ in range(arguments.rounds):
                for phase, change in (("dead", collector.kill), ("there", collector.start)):
                    change()
                    service.end_phase()
                    time.sleep(arguments.seconds)
                    found[phase].append(service.end_phase())
        finally:
            service.kill()
            collector.close()
    print(f"{os.cpu_count()} cores       median        p99   requests / s")
    for phase in ("there", "dead"):
        median, p99, requests = (
            statistics.median(each[key] for each in found[phase])
            for key in ("median_s", "p99_s", "requests")
        )
        rate = requests / arguments.seconds
        print(f"collector {phase:6}{median * 1e6:6.0f} µs  {p99 * 1e6:6.0f} µs  {rate:12.0f}")
    there, dead = (
        statistics.median(each["median_s"] for each in found[phase]) for phase in ("there", "dead")
    )
    met = "met" if dead / there < BAR else "MISSED"
    print(f"    {dead / there:.2f} times as long when it is dead    bar: under {BAR:g}: {met}")
    sys.exit(dead / there >= BAR)


def _variables(collector: Collector) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.grpc}",
    }


if __name__ == "__main__":
    main()

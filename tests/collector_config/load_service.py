"""`python load_service.py`: a service under load, which knows what it recorded and how fast.

A line on its standard input ends a phase, and it says how long the recording of a request took in
that phase; the end of its input ends the work, and it says how many requests there were. Each
request is a run of a skill with an outcome of confidence 0.5, so that sums have no rounding.
"""

import json
import sys
import threading
import time
from typing import Final

import otel_metrics
from otel_metrics import skills

PAUSE_S: Final = 0.001
CONFIDENCE: Final = 0.5


class Load:
    """Serves requests on a thread until it is told to stop."""

    def __init__(self) -> None:
        self.requests = 0
        self._times: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.wait(PAUSE_S):
            begun = time.perf_counter()
            with skills.execution("triage", agent="support") as run:
                run.outcome("urgent", expected="urgent", confidence=CONFIDENCE)
            self._times.append(time.perf_counter() - begun)
            self.requests += 1

    def end_phase(self) -> dict[str, float]:
        """Return how many requests there were since the last time, and the median and the 99th
        percentile of the recording's time."""
        times, self._times = sorted(self._times), []
        at = {"median_s": 50, "p99_s": 99}
        found = {
            name: times[len(times) * part // 100] if times else 0.0 for name, part in at.items()
        }
        return {"requests": len(times), **found}

    def stop(self) -> None:
        """End the work."""
        self._stop.set()
        self._thread.join()


def main() -> None:
    """Work, and answer each line."""
    otel_metrics.configure()
    load = Load()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(load.end_phase()), flush=True)
    load.stop()
    print(load.requests, flush=True)


if __name__ == "__main__":
    main()

"""A service under load while the agent, or the gateway, is dead: what arrives, what it costs.

Each function makes one outage happen and returns what came of it; tests and the harness of faults
judge.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_exporter_ndjson import read
from tests.collector_config.chain import Chain
from tests.collector_config.load_service import CONFIDENCE
from tests.collector_config.running import DEADLINE_S, until
from tests.e2e.processes import Program

__all__ = ["Loaded", "Outage", "agent_killed", "gateway_killed"]

LINES_MAX: Final = 2
"""What the service may log: that the collector is away, and that it is back."""
SLOWER_MAX: Final = 4.0
SLACK_S: Final = 0.01
"""How much longer recording may take while the agent is dead; a wait for one attempt to send would
be longer. `benchmarks/recording_in_outage.py` has the figure."""
CALM_S: Final = 3.0
"""How long the phases without a fault take."""
EXECUTIONS: Final = "skill_executions_total"
REQUESTS: Final = f"sum({EXECUTIONS})"
BACKLOG_S: Final = 60.0
"""An agent that was refused for long asks again after 10 s at most."""


@dataclass(slots=True)
class Outage:
    """What came of an outage.

    Attributes:
        requests: how many the service recorded.
        shown: what PromQL finds of them, by query, and what it ought to.
        p99_s: how long the recording of a request took, by phase.
        lines: what the service logged.
        points: of the counter, those in the archive less those that a newer one replaced before
            they were sent, and those in Prometheus.
    """

    requests: int = 0
    shown: dict[str, tuple[float, float]] = field(default_factory=dict)
    p99_s: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    points: tuple[int, int] = (0, 0)

    @property
    def lost(self) -> int:
        """How many requests Prometheus does not know of; negative for those that it invented."""
        shown, right = self.shown[REQUESTS]
        return int(right - shown)

    @property
    def faults(self) -> list[str]:
        """Every broken promise of what arrives and what is logged, in words."""
        found = [
            f"{query} is {shown}, not {right}"
            for query, (shown, right) in self.shown.items()
            if shown != right
        ]
        if len(self.lines) > LINES_MAX:
            found.append(f"{len(self.lines)} log lines: {self.lines[: LINES_MAX + 3]}")
        return found

    @property
    def delays(self) -> list[str]:
        """Every phase in which recording was slower than before, in words; for a machine that has
        nothing else to do."""
        limit_s = self.p99_s["before"] * SLOWER_MAX + SLACK_S
        return [
            f"the recording of a request takes {p99_s} s {phase} the outage, more than {limit_s} s"
            for phase, p99_s in self.p99_s.items()
            if p99_s > limit_s
        ]


class Loaded:
    """A service under load that exports every half second, and keeps an archive.

    Args:
        folder: where it runs.
        variables: where it sends.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        folder.mkdir()
        self.archive = folder / "telemetry"
        self._program = Program(
            folder,
            command=[sys.executable, "-u", str(Path(__file__).parent / "load_service.py")],
            env={
                "OTEL_METRICS_EXPORTER": "ndjson,otlp",
                "OTEL_SERVICE_NAME": "desk",
                "OTEL_METRIC_EXPORT_INTERVAL": "500ms",
                "OTEL_EXPORTER_NDJSON_PATH": str(self.archive),
                "OTEL_PYTHON_METRICS_HOST_METRICS": "off",
                "OTEL_PYTHON_METRICS_EXIT_TIMEOUT": f"{DEADLINE_S}s",
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **variables,
            },
            talks=True,
        )
        self._program.await_ready()

    def end_phase(self) -> dict[str, float]:
        """Return how many requests there were since the last call, and median and 99th percentile
        of the time that the recording of one took."""
        stdin, stdout = self._program.process.stdin, self._program.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("\n")
        stdin.flush()
        phase: dict[str, float] = json.loads(stdout.readline())
        return phase

    def stop(self, outage: Outage) -> None:
        """End it, and note what it recorded and logged."""
        said, errors = self._program.finish()
        outage.requests, outage.lines = int(said), errors.splitlines()

    def kill(self) -> None:
        """End it, where it still runs."""
        self._program.kill()


def agent_killed(chain: Chain, folder: Path, *, outage_s: float) -> Outage:
    """Kill the agent under load, start it again when the outage is over, and end the service."""
    outage = Outage()
    load = Loaded(folder, chain.variables)
    try:
        load.end_phase()
        outage.p99_s["before"] = _p99_s(load, CALM_S)
        chain.agent.kill()
        outage.p99_s["during"] = _p99_s(load, outage_s)
        known = chain.prometheus.total(EXECUTIONS)
        chain.agent.start()
        until(lambda: chain.prometheus.total(EXECUTIONS) > known, chain.logs)
        load.end_phase()
        outage.p99_s["after"] = _p99_s(load, CALM_S)
        load.stop(outage)
    finally:
        load.kill()
    _await_all(chain, outage)
    return outage


def gateway_killed(
    chain: Chain,
    folder: Path,
    *,
    outage_s: float,
    between: Callable[[], None] = lambda: None,
    backlog_s: float = BACKLOG_S,
) -> Outage:
    """Kill the gateway under load, end the service, kill the agent too, and start both again: what
    arrives was on the agent's disk.

    Args:
        between: called while both are dead.
        backlog_s: how long what is on the agent's disk may take.
    """
    outage = Outage()
    load = Loaded(folder, chain.variables)
    try:
        load.end_phase()
        outage.p99_s["before"] = _p99_s(load, CALM_S)
        until(lambda: chain.prometheus.total(EXECUTIONS), chain.logs)
        chain.gateway.kill()
        outage.p99_s["during"] = _p99_s(load, outage_s)
        load.stop(outage)
    finally:
        load.kill()
    chain.agent.kill()
    between()
    chain.gateway.start()
    chain.agent.start()
    _await_all(chain, outage, backlog_s)
    outage.points = (
        _archived(load.archive),
        int(chain.prometheus.total(f"count_over_time({EXECUTIONS}[1h])")),
    )
    return outage


def _p99_s(load: Loaded, seconds: float) -> float:
    """Let the load go on for a time, and return the 99th percentile of it."""
    time.sleep(seconds)
    return load.end_phase()["p99_s"]


def _await_all(chain: Chain, outage: Outage, backlog_s: float = BACKLOG_S) -> None:
    """Wait until nothing is under way any more, and note what Prometheus has."""
    right = {
        REQUESTS: outage.requests,
        'sum(skill_outcomes_total{skill_outcome="correct"})': outage.requests,
        "sum(skill_outcome_confidence_count)": outage.requests,
        "sum(skill_outcome_confidence_sum)": outage.requests * CONFIDENCE,
        'sum(skill_outcome_confidence_bucket{le="+Inf"})': outage.requests,
        "sum(skill_execution_duration_seconds_count)": outage.requests,
    }
    deadline = time.monotonic() + backlog_s
    while True:
        outage.shown = {query: (chain.prometheus.total(query), right[query]) for query in right}
        arrived = all(shown == wanted for shown, wanted in outage.shown.values())
        if arrived or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _archived(archive: Path) -> int:
    """Return how many points of the counter were collected and not replaced before they were
    sent."""
    points, skipped = 0, 0
    for record in read(archive, signal="metrics"):
        if record.data["kind"] == "metric":
            points += record.data["metric"] == "skill.executions"
            if record.data["metric"] == "delivery.skipped":
                skipped = record.data["value"] * (record.data["attributes"]["exporter"] == "otlp")
    return points - skipped

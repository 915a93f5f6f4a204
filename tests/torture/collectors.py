"""A service at work while its agent, or the gateway behind it, is dead (fault F11).

The way is the deployed one: `agent.yaml`, `gateway.yaml` and a Prometheus 3. Whatever was recorded
is in Prometheus afterwards, exactly, and the service has not become slower meanwhile.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.collector_config.chain import Chain, chain
from tests.collector_config.outages import Outage, agent_killed, gateway_killed
from tests.conftest import INSTALL, located
from tests.torture.figures import Figures, NotRunError
from tests.torture.plan import Plan

__all__ = ["dead_agent", "dead_gateway"]

OUTAGE_S: Final = 60.0
OUTAGE_QUICK_S: Final = 3.0

Happen = Callable[[Chain, Path, float], Outage]


def dead_agent(plan: Plan) -> Figures:
    """Kill the agent, and start it again."""
    return _row(
        plan,
        "F11 the agent is dead under load",
        lambda way, folder, seconds: agent_killed(way, folder, outage_s=seconds),
    )


def dead_gateway(plan: Plan) -> Figures:
    """Kill the gateway, then the agent when it has everything, and start both again."""
    return _row(
        plan,
        "F11 the gateway is dead under load, then the agent",
        lambda way, folder, seconds: gateway_killed(way, folder, outage_s=seconds),
    )


def _row(plan: Plan, fault: str, happen: Happen) -> Figures:
    seconds = OUTAGE_S if plan.thorough else OUTAGE_QUICK_S
    figures = Figures(f"{fault} for {seconds:.0f} s")
    with figures.timed(), plan.scratch() as folder:
        otelcol, prometheus3 = _program("otelcol"), _program("prometheus3")
        with chain(folder, otelcol=otelcol, prometheus3=prometheus3) as way:
            _judge(figures, happen(way, folder / "service", seconds))
    return figures


def _judge(figures: Figures, outage: Outage) -> None:
    figures.cycles = 1
    figures.acknowledged = outage.requests
    figures.lost = outage.lost
    figures.violations += outage.faults + outage.delays
    p99s = (f"{p99_s * 1e6:.0f} µs {phase}" for phase, p99_s in outage.p99_s.items())
    figures.remark = f"p99 of recording a request {', '.join(p99s)}"


def _program(name: str) -> str:
    path = located(name)
    if path is None:
        raise NotRunError(f"{name} is not installed: {INSTALL[name]}")
    return path

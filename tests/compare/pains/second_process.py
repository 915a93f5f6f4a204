"""A second process of a service opens the metrics port that the first one has."""

from typing import Final

from tests.compare.attach import OURS, PLAIN_PAGE
from tests.compare.lab import Lab
from tests.compare.pain import Pain

__all__ = ["PAIN"]

PROGRAM: Final = """
print("ready", flush=True)
input()
"""


def measure(lab: Lab, program: str) -> int:
    """Return how many of two processes get as far as to be ready."""
    said = []
    for process in [lab.start(program), lab.start(program)]:
        assert process.stdout is not None
        said.append(process.stdout.readline())  # nothing where it has ended
    return said.count("ready\n")


PAIN: Final = Pain(
    title="Two processes of one service, one metrics port",
    reported=("open-telemetry/opentelemetry-python#3747",),
    plain=PLAIN_PAGE + PROGRAM,
    ours=OURS + PROGRAM,
    measure=measure,
    hurts=lambda ready: ready != 2,
    shown=lambda ready: f"{ready} of 2 run",
)

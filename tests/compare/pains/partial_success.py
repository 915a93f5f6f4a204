"""A backend takes a request and says that it did not take a point of it."""

from typing import Final

from tests.compare.lab import Lab
from tests.compare.pain import Pain
from tests.compare.pains import flush_verdict

__all__ = ["PAIN"]


def measure(lab: Lab, program: str) -> str:
    """Return what a flush says when a point was refused."""
    lab.backend.rejected = 1
    said, _ = lab.run(program)
    return said.strip()


PAIN: Final = Pain(
    title="A flush of which the backend refused a point says",
    reported=(),
    plain=flush_verdict.PAIN.plain,
    ours=flush_verdict.PAIN.ours,
    measure=measure,
    hurts=lambda said: said == "delivered",
    shown=lambda said: f'"{said}"',
)

"""How a session stands, in the words of the efficiency gauges."""

import math
from collections.abc import Mapping
from typing import Final

from otel_metrics.demo.tally import Tally

__all__ = ["state_of"]

ENTROPY_WEIGHT: Final = 1.5


def state_of(tally: Tally) -> Mapping[str, float]:
    """Return the state after the last pass.

    A gap is a run that raised, a misfit an outcome that was wrong, a false piece one of these that
    had called a file as it should be. An issue is what a skill told of; it is closed once the
    check confirmed it. An outcome that could be checked is a test. Efficiency is E = P ÷ D with
    the default weights; risk, decay, backtracks and integration are 0 here, so D lacks them.
    """
    skills = tally.skills.values()
    gaps = sum(tally.errors.values())
    misfits = sum(skill.incorrect for skill in skills)
    false_pieces = sum(skill.overlooked for skill in skills)
    issues = sum(skill.told for skill in skills)
    passing = sum(skill.correct for skill in skills)
    entropy = _entropy_bits(passing, passing + misfits)
    potential = issues or gaps + misfits + false_pieces or 1
    difficulty = tally.passes + gaps + misfits + false_pieces + ENTROPY_WEIGHT * entropy
    return {
        "gaps": gaps,
        "misfits": misfits,
        "false_pieces": false_pieces,
        "entropy": entropy,
        "total_issues": issues,
        "closed_issues": sum(skill.confirmed for skill in skills),
        "passing_tests": passing,
        "total_tests": passing + misfits,
        "efficiency": potential / max(1.0, difficulty),
        "tick": tally.passes,
    }


def _entropy_bits(passing: int, total: int) -> float:
    shares = (passing / total, 1 - passing / total) if total else ()
    return sum(-share * math.log2(share) for share in shares if share)

"""What the demo did, counted by itself as it goes: what its metrics must come to."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import median

from otel_metrics.demo.skill import Answer, Finding

__all__ = ["SkillTally", "Tally"]


@dataclass(slots=True)
class SkillTally:
    """What the runs of one skill came to.

    Attributes:
        runs: all of them.
        correct: outcomes that the check confirmed.
        incorrect: outcomes that it did not.
        unverified: outcomes for which it had no answer.
        errors: runs that raised, by class.
        overlooked: incorrect outcomes that had called a file as it should be.
        told: outcomes that told of something.
        confirmed: of these, how many were correct.
        followed: patterns that run and check both found.
        missed: patterns that only the check found.
        durations_s: of the runs, in seconds.
    """

    runs: int = 0
    correct: int = 0
    incorrect: int = 0
    unverified: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    overlooked: int = 0
    told: int = 0
    confirmed: int = 0
    followed: int = 0
    missed: int = 0
    durations_s: list[float] = field(default_factory=list)
    _right: Counter[bool] = field(default_factory=Counter)
    _judged: Counter[bool] = field(default_factory=Counter)

    def ended(self, duration_s: float, error: str | None = None) -> None:
        """Count a run that took `duration_s` seconds and raised `error`, if any."""
        self.runs += 1
        self.durations_s.append(duration_s)
        if error is not None:
            self.errors[error] += 1

    def confidence(self, *, by_rule: bool) -> float:
        """Return how often this way of deciding was right so far: Laplace's rule of succession."""
        return (self._right[by_rule] + 1) / (self._judged[by_rule] + 2)

    def judged(self, finding: Finding, answer: Answer | None, *, by_rule: bool) -> None:
        """Count an outcome against what the check came to."""
        right = answer is not None and finding.decision == answer.expected
        self.told += bool(finding.told)
        self.confirmed += bool(finding.told) and right
        if answer is None:
            self.unverified += 1
            return
        self.correct += right
        self.incorrect += not right
        self.overlooked += not right and not finding.told
        self._right[by_rule] += right
        self._judged[by_rule] += 1

    @property
    def verified(self) -> int:
        """Outcomes for which the check had an answer."""
        return self.correct + self.incorrect

    @property
    def median_s(self) -> float:
        """The median duration of a run, in seconds; 0 where there was none."""
        return median(self.durations_s) if self.durations_s else 0.0


@dataclass(slots=True)
class Tally:
    """What a session came to.

    Attributes:
        skills: by name.
        files: files of the library that were taken up.
        passes: passes of agents, each over a few files.
        passes_whole: of these, how many visited all of their files without an error.
        sovereignty: events by type.
        model_calls: full analyses, each of which stands for a call of a model.
        input_tokens: tokens that these read.
        output_tokens: tokens that they wrote.
    """

    skills: dict[str, SkillTally] = field(default_factory=dict)
    files: int = 0
    passes: int = 0
    passes_whole: int = 0
    sovereignty: Counter[str] = field(default_factory=Counter)
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def skill(self, name: str) -> SkillTally:
        """Return the tally of one skill, a new one at first."""
        return self.skills.setdefault(name, SkillTally())

    @property
    def errors(self) -> Counter[str]:
        """Errors of all skills, by class."""
        return sum((skill.errors for skill in self.skills.values()), Counter[str]())

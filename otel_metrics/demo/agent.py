"""An agent: looks at a file, runs its skills, has each outcome checked, tells what it found."""

import tokenize
from collections.abc import Sequence
from typing import Final

from otel_metrics import efficiency, skills
from otel_metrics.demo.desk import Desk
from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import Sight, count_tokens
from otel_metrics.demo.skill import REFUSALS, Answer, Finding, Skill, parse
from otel_metrics.skills.recorder import UNKNOWN, error_type

__all__ = ["Agent"]

FAILURES: Final = (*REFUSALS, tokenize.TokenError, OSError)
"""What a skill may raise at a file: it is recorded, and the agent goes on."""


class Agent:
    """One agent with its skills.

    Attributes:
        name: the agent's name, as its metrics have it.
    """

    def __init__(self, name: str, its_skills: Sequence[Skill], desk: Desk) -> None:
        self.name = name
        self._skills = its_skills
        self._desk = desk

    def visit(self, path: str) -> str:
        """Run every skill on a file, and return what is to be told of it."""
        findings = [self._run(skill, path) for skill in self._skills]
        return self._narrate(path, [finding for finding in findings if finding is not None])

    def _run(self, skill: Skill, path: str) -> Finding | None:
        tally = self._desk.tally.skill(skill.name)
        began_s = self._desk.clock()
        try:
            with skills.execution(skill.name, agent=self.name) as run:
                sight = self._desk.look(path)
                finding, by_rule = self._decide(skill, sight)
        except FAILURES as error:
            tally.ended(self._desk.clock() - began_s, error_type(error))
            efficiency.agent_error(self.name)
            return None
        tally.ended(self._desk.clock() - began_s)

        # Checked after the run, so that its duration is that of the skill alone.
        confidence = tally.confidence(by_rule=by_rule)
        answer = _checked(skill, sight.source)
        run.outcome(
            finding.decision,
            expected=UNKNOWN if answer is None else answer.expected,
            confidence=confidence,
            reasoning=f"{path}: {finding.reasoning}",
        )
        if answer is not None:
            self._compare(skill, run.id, finding, answer)
        tally.judged(finding, answer, by_rule=by_rule)
        return finding

    def _decide(self, skill: Skill, sight: Sight) -> tuple[Finding, bool]:
        """Return what a skill decided, and whether a rule sufficed."""
        about = {"skill": skill.name, "path": sight.source.path}
        finding = skill.rule(sight)
        if finding is not None:
            self._desk.note("decision_rule_hit", about | {"rule": finding.reasoning})
            return finding, True
        with self._desk.model_call("decision_llm_call", about) as call:
            call.input_tokens = len(sight.lexemes)
            finding = skill.analyse(sight)
            call.report = finding.report
        return finding, False

    def _compare(self, skill: Skill, run_id: str, finding: Finding, answer: Answer) -> None:
        """Record how much of what the check found the skill had found, where it looked for it."""
        if finding.patterns is None or not answer.patterns:
            return
        followed = len(finding.patterns & answer.patterns)
        missed = len(answer.patterns) - followed
        tally = self._desk.tally.skill(skill.name)
        tally.followed += followed
        tally.missed += missed
        skills.record_fidelity(
            skill.name,
            patterns_followed=followed,
            patterns_missed=missed,
            execution_id=run_id,
            agent=self.name,
        )

    def _narrate(self, path: str, findings: Sequence[Finding]) -> str:
        """Say by a template that there is nothing; write out what there is."""
        told = "; ".join(finding.told for finding in findings if finding.told)
        about = {"agent": self.name, "path": path}
        if not told:
            self._desk.note("narration_template", about)
            return f"{path}: nothing to report"
        with self._desk.model_call("narration_llm", about) as call:
            call.input_tokens = count_tokens(told)
            call.report = f"{path}: {told}"
        return call.report


def _checked(skill: Skill, source: Source) -> Answer | None:
    try:
        return skill.check(source, parse(source))
    except RecursionError:  # a tree too deep to walk through: there is no answer
        return None

"""A session: two agents go through the library, a few files a pass, until told to stop."""

import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from otel_metrics import efficiency, executions
from otel_metrics.demo.agent import Agent
from otel_metrics.demo.compile_check import CompileCheck
from otel_metrics.demo.complexity_scan import ComplexityScan
from otel_metrics.demo.desk import Desk
from otel_metrics.demo.duplicate_detection import DuplicateDetection
from otel_metrics.demo.library import Source
from otel_metrics.demo.secret_scan import SecretScan
from otel_metrics.demo.state import state_of
from otel_metrics.demo.tally import Tally

__all__ = ["PASS_FILES", "Progress", "Session"]

PASS_FILES: Final = 25
"""Files that one agent goes through before the other goes through the same."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a session is, after a file.

    Attributes:
        agent: who visited the file.
        path: of the file.
        told: what the agent says of it.
        tally: what was done so far; it goes on changing.
    """

    agent: str
    path: str
    told: str
    tally: Tally


class Session:
    """The surveyor checks and measures each file, then the auditor looks at the same files.

    Attributes:
        tally: what was done so far.
    """

    def __init__(
        self,
        read: Callable[[str], Source],
        *,
        session_id: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.tally = Tally()
        self._clock = clock
        self._session_id = session_id
        desk = Desk(read, self.tally, session_id=session_id, clock=clock)
        self._surveyor = Agent("surveyor", [CompileCheck(), ComplexityScan()], desk)
        self._auditor = Agent("auditor", [DuplicateDetection(), SecretScan()], desk)

    def run(self, paths: Iterable[str]) -> Generator[Progress, None, None]:
        """Go through `paths`, a step a file. Close the generator to stop after the file under way.

        The pass that is under way then is recorded as what it is: not whole.
        """
        rest = iter(paths)
        while batch := list(itertools.islice(rest, PASS_FILES)):
            for agent in (self._surveyor, self._auditor):
                yield from self._pass(agent, batch)

    def _pass(self, agent: Agent, paths: Sequence[str]) -> Iterator[Progress]:
        before = _Sums.of(self.tally)
        visited = 0
        began_s = self._clock()
        efficiency.agents_active(agent.name, 1)
        try:
            for path in paths:
                told = agent.visit(path)
                visited += 1
                self.tally.files += agent is self._surveyor
                yield Progress(agent.name, path, told, self.tally)
        finally:
            efficiency.agents_active(agent.name, 0)
            self._end_pass(agent, before, visited, len(paths), self._clock() - began_s)

    def _end_pass(
        self, agent: Agent, before: "_Sums", visited: int, of: int, duration_s: float
    ) -> None:
        after = _Sums.of(self.tally)
        whole = visited == of and after.errors == before.errors
        verified = after.verified - before.verified
        self.tally.passes += 1
        self.tally.passes_whole += whole
        efficiency.tick(duration_s)
        efficiency.update_state_gauges(state_of(self.tally))
        executions.record(
            agent.name,
            success=whole,
            execution_time_s=duration_s,
            quality_score=(after.correct - before.correct) / verified if verified else None,
            primary_metric={"name": "files_visited", "value": visited, "target": of},
            session_id=self._session_id,
            idempotency_key=f"{self._session_id}-{self.tally.passes}",
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over all skills, to tell what one pass came to."""

    errors: int
    correct: int
    verified: int

    @classmethod
    def of(cls, tally: Tally) -> "_Sums":
        return cls(
            errors=sum(tally.errors.values()),
            correct=sum(skill.correct for skill in tally.skills.values()),
            verified=sum(skill.verified for skill in tally.skills.values()),
        )

"""One run of a skill: how long it took, whether it raised, whether it was right, what it cost."""

import threading
import time
from decimal import Context, Decimal
from typing import Final

from otel_metrics import instruments, values
from otel_metrics.amounts import amount, never_raises
from otel_metrics.skills import recorder

__all__ = ["Execution"]

_SUMS: Final = Context(prec=28, traps=[])
"""Costs are added as here is said, whatever precision and traps the service set for its own."""


class Execution:
    """One run of a skill, as `with execution(...) as run` gives it.

    Attributes:
        skill: the skill's name.
        agent: the agent that runs it.
        version: the skill's version.
        id: of this run; in its events, never in a metric.
        memory_usage_mb: set it to record the memory that the run took, in MiB.
    """

    def __init__(self, skill: str, agent: str | None, version: str | None) -> None:
        self.skill = skill
        self.agent = agent
        self.version = version
        self.id = recorder.new_execution_id()
        self.memory_usage_mb: float | None = None
        self._began_s = time.perf_counter()
        # A run's calls may be recorded from several threads, and from a signal handler that
        # interrupts one of them while it holds the lock.
        self._lock = threading.RLock()
        self._ended = False
        self._failed = False
        self._outcome: recorder.Outcome | None = None
        self._cost_usd: Decimal | None = None  # None: nothing was bought; 0: it was free
        self._cost_outcome: recorder.Verdict = "unverified"

    @never_raises("skill.outcomes")
    def outcome(
        self,
        decision: object,
        *,
        expected: object = recorder.UNKNOWN,
        confidence: float | None = None,
        reasoning: str | None = None,
    ) -> None:
        """Say what the run decided, and what would have been right if that is known.

        The outcome is `correct` if `decision == expected`, else `incorrect`; without `expected`
        it is `unverified`. It is recorded when the run ends, the last call winning, and not at
        all if the run raises. A run that ended without one may be given one later, once; its
        cost stays `unverified`.

        Args:
            decision: any value; it is kept in the event.
            expected: the right answer. None is an answer, too.
            confidence: 0 to 1.
            reasoning: kept in the event.
        """
        given = recorder.Outcome(
            # Copies: it is recorded when the run ends.
            decision=values.clean(decision),
            expected=expected if expected is recorder.UNKNOWN else values.clean(expected),
            verdict=recorder.judge(decision, expected),
            confidence=confidence,
            reasoning=values.clean(reasoning),
        )
        with self._lock:
            late, taken = self._ended, self._outcome is not None or self._failed
            if not (late and taken):
                self._outcome = given
        if late and taken:
            instruments.reject(
                "skill.outcomes", "repeated", "one outcome of a run, and none of one that raised"
            )
        elif late:
            self._record_outcome(given)

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self._ended

    @never_raises("skill.cost")
    def add_cost(self, cost_usd: float) -> None:
        """Put a cost, in USD, on this run. It is counted with the run's outcome once it ends."""
        taken = amount("skill.cost", cost_usd)
        if taken is None:
            return
        with self._lock:
            if not self._ended:
                self._cost_usd = _SUMS.add(self._cost_usd or Decimal(0), Decimal(repr(taken)))
                return
        self._record_cost(taken)

    @never_raises("skill.executions")
    def end(self, error: BaseException | None) -> None:
        """Record the run: its duration and error, then its outcome, then its cost."""
        duration_s = time.perf_counter() - self._began_s
        # A consumer that stops early closes the generator; that is no failure.
        failed = error is not None and not isinstance(error, GeneratorExit)
        with self._lock:
            self._ended = True
            self._failed = failed
            given = None if failed else self._outcome
            if given is not None:
                self._cost_outcome = given.verdict
            cost_usd = self._cost_usd
        recorder.record_performance(
            self.skill,
            execution_id=self.id,
            execution_time_ms=duration_s * 1000,
            agent=self.agent,
            exception_occurred=failed,
            exception_type=recorder.error_type(error) if error is not None and failed else None,
            memory_usage_mb=self.memory_usage_mb,
            version=self.version,
        )
        if given is not None:
            self._record_outcome(given)
        if cost_usd is not None:
            self._record_cost(float(cost_usd))

    def _record_outcome(self, outcome: recorder.Outcome) -> None:
        recorder.count_outcome(self.skill, outcome, self.id, agent=self.agent, version=self.version)

    def _record_cost(self, cost_usd: float) -> None:
        recorder.count_cost(
            self.skill, cost_usd, self._cost_outcome, agent=self.agent, version=self.version
        )

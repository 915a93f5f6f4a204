"""Runs what was considered: admits it, says its intent, runs its steps, says its result.

Threads: `admit` and `run` are called from any thread, for one run also from two. `_idle` guards how
many runs are admitted and not over, and what became of those of which the ledger could not be told.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from otel_metrics.remediation import admission, runner, runs
from otel_metrics.remediation.approval_rows import Approval
from otel_metrics.remediation.clock import Now
from otel_metrics.remediation.considering import Considered
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.model import Outcome, Result
from otel_metrics.remediation.runs import StepRecord
from otel_metrics.remediation.trail import Trail

__all__ = ["Admitted", "Executor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A run that the ledger has let begin, and that nobody has run yet."""

    considered: Considered
    run_id: str
    owner: str
    why_stopped: Callable[[], str]
    approval: Approval | None
    rerun_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """What became of a run."""

    run_id: str
    result: Result
    detail: str
    steps: Sequence[StepRecord] = ()


class Executor:
    """Runs steps by one ledger and its audit."""

    def __init__(self, ledger: Ledger, trail: Trail) -> None:
        self._ledger = ledger
        self._trail = trail
        self._idle = threading.Condition()
        self._running = 0
        self._unsaid: list[_Ended] = []

    def admit(
        self,
        considered: Considered,
        *,
        why_stopped: Callable[[], str],
        approval: Approval | None = None,
        rerun_of: str | None = None,
    ) -> Outcome | Admitted:
        """Let it run, unless its key was acted on or a limit holds it back; `run` runs it then.

        Args:
            why_stopped: says why nothing may run any more; empty where it may.
            approval: what lets it run.
            rerun_of: the idempotent run that this one is again.

        Raises:
            LedgerError: the ledger cannot be read or written; nothing was done.
        """
        # A look without writing first, so that a storm costs no disk; the transaction looks again.
        held = self._ledger.read(
            lambda connection, now: admission.held(
                connection, now, considered, "run", approval=approval, rerun_of=rerun_of
            )
        )
        if held is not None:
            return held
        admitted = Admitted(
            considered=considered,
            run_id=admission.new_id(),
            owner=self._ledger.owner(),
            why_stopped=why_stopped,
            approval=approval,
            rerun_of=rerun_of,
        )
        self._count(1)
        is_admitted = False
        try:
            refused = self._ledger.write(lambda connection, now: _admit(connection, now, admitted))
            is_admitted = refused is None
        finally:
            if not is_admitted:
                self._count(-1)
        return refused or admitted

    def run(self, admitted: Admitted) -> Outcome:
        """Run what was admitted, once, and return what became of it."""
        try:
            return self._run(admitted)
        finally:
            self._count(-1)

    def say_unsaid(self) -> None:
        """Say what became of runs while the ledger could not be written.

        Raises:
            LedgerError: it still cannot.
        """
        with self._idle:
            unsaid = list(self._unsaid)
        for ended in unsaid:
            self._say(ended)
            with self._idle:
                self._unsaid.remove(ended)

    def wait_idle(self, deadline_s: float) -> bool:
        """Wait until nothing runs, or that reading of the monotonic clock; say whether it is so."""
        with self._idle:
            return self._idle.wait_for(
                lambda: not self._running, max(0.0, deadline_s - time.monotonic())
            )

    def _count(self, more: int) -> None:
        with self._idle:
            self._running += more
            self._idle.notify_all()

    def _run(self, admitted: Admitted) -> Outcome:
        run_id, approval = admitted.run_id, admitted.approval
        why = self._why_not_begun(run_id, admitted.owner)
        if why is not None:
            detail = f"nothing was done: {why}"
            return self._over(_Ended(run_id=run_id, result="failed", detail=detail), approval)
        # To the other side a run that is done again is the same: what it has done it need not do.
        ran = runner.run(
            admitted.considered,
            run_id=admitted.rerun_of or run_id,
            why_stopped=admitted.why_stopped,
        )
        ended = _Ended(run_id=run_id, result=ran.result, detail=ran.detail, steps=ran.steps)
        return self._over(ended, approval)

    def _why_not_begun(self, run_id: str, owner: str) -> str | None:
        """Say the intent, and begin; return why that is not on the disk."""
        try:
            self._trail.flush()
            if self._ledger.write(lambda connection, _: runs.begin(connection, run_id, owner)):
                return None
        except LedgerError as error:
            return str(error)
        return "others took this process for dead"

    def _over(self, ended: _Ended, approval: Approval | None) -> Outcome:
        """Say what became of a run, now or, where the ledger cannot be written, later."""
        detail = ended.detail
        try:
            self._say(ended)
        except LedgerError as error:
            detail = f"{detail}; not in the ledger yet: {error}"
            with self._idle:
                self._unsaid.append(ended)
        self._trail.try_to_flush()
        return Outcome(
            result=ended.result,
            detail=detail,
            run_id=ended.run_id,
            approval_id=None if approval is None else approval.id,
        )

    def _say(self, ended: _Ended) -> None:
        self._ledger.write(
            lambda connection, now: admission.end(
                connection, now, ended.run_id, ended.result, ended.detail, ended.steps
            )
        )


def _admit(connection: sqlite3.Connection, now: Now, admitted: Admitted) -> Outcome | None:
    return admission.admit(
        connection,
        now,
        admitted.considered,
        run_id=admitted.run_id,
        owner=admitted.owner,
        approval=admitted.approval,
        rerun_of=admitted.rerun_of,
    )

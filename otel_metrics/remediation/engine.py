"""Decides on requests, runs what is let run, and keeps the audit of it.

A request goes through: the kill switch, what is bound to the playbook, parameters and target, the
policy, an approval, the limits; then its intent is on the disk, in the audit; then the steps; then
the result; then the verification. Whatever is missing on the way ends it: nothing is done by
default.

Threads: `otel-metrics-remediation` works off what was submitted, and looks once a second after what
was approved, what is to be verified, who died, and what the audit is yet to be told. `handle` runs
on its caller's thread. `_wake` guards the queue. `at_work` is held while the thread looks after
things, not while steps run; a fork takes it.
"""

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_metrics import events, instruments
from otel_metrics.catalog.model import Playbook
from otel_metrics.outages import Outage
from otel_metrics.remediation import admission, approval_rows, entries, recovery, runner, runs
from otel_metrics.remediation.approvals import Approval, Approvals
from otel_metrics.remediation.audit import APPROVAL, REQUESTED, SWITCHED, AuditSink
from otel_metrics.remediation.clock import Clock, Now
from otel_metrics.remediation.considering import Considered, consider
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.model import Configuration, Limits, Outcome, Request, Result
from otel_metrics.remediation.notices import notify
from otel_metrics.remediation.policy import Ruling
from otel_metrics.remediation.recovery import AGAIN
from otel_metrics.remediation.runs import Run, StepRecord
from otel_metrics.remediation.switch import Switch
from otel_metrics.remediation.trail import Emit, Entries, Trail, put
from otel_metrics.remediation.verification import Latest, verify
from otel_metrics.service.samples import Resource

__all__ = ["QUEUE_MAX", "Engine", "Plan"]

QUEUE_MAX: Final = 1_000
"""Submitted requests that wait; more are dropped and counted."""
POLL_S: Final = 1.0
"""How often it is looked after approvals, verifications and the dead."""
HISTORY: Final = 100
"""Runs that `history` returns where no number is given."""

_logger = logging.getLogger("otel_metrics.remediation")
_actions = "remediation.actions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would become of a request now.

    Attributes:
        considered: what would be done; None where nothing could be.
        outcome: what `handle` would return but for the steps: `refused`, `limited`, `repeated`,
            `notified`, `waiting`, `dry_run`; None where it would run.
    """

    considered: Considered | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """What became of a run."""

    run_id: str
    result: Result
    detail: str
    steps: Sequence[StepRecord] = ()


class Engine:
    """Acts on requests, by one ledger.

    Args:
        configuration: returns the operator's file as it is now; None where there is none.
        playbooks: the catalog's, by id.
        ledger_path: the file that the processes of the host share.
        audit: where entries are kept; None makes every run a dry run.
        entries: reads the entries that were kept.
        latest: returns the newest sample of a metric of a resource.
        known_targets: returns every resource that something may be done to.
        stop: whether OTEL_PYTHON_METRICS_REMEDIATION_STOP says that nothing may run.
        emit: takes events.
        clock: the machine's.

    Attributes:
        approvals: those of the ledger.
        at_work: held while the thread looks after things; for forks.
    """

    def __init__(
        self,
        configuration: Callable[[], Configuration | None],
        playbooks: Mapping[str, Playbook],
        *,
        ledger_path: str | os.PathLike[str],
        audit: AuditSink | None = None,
        entries: Entries | None = None,
        latest: Latest | None = None,
        known_targets: Callable[[], Collection[Resource]] = tuple,
        stop: bool = False,
        emit: Emit = events.emit,
        clock: Clock | None = None,
    ) -> None:
        self._configuration = configuration
        self._playbooks = playbooks
        self._entries = entries
        self._latest = latest or (lambda *_: None)
        self._known_targets = known_targets
        self._stop = stop
        self._emit = emit
        self._ledger = Ledger(ledger_path, clock)
        self._trail = Trail(self._ledger, audit, entries, emit)
        self._outage = Outage(_logger)
        self.approvals = Approvals(self._ledger, self._trail, self._ask_for)
        self._is_started = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.at_work = threading.Lock()
        self._wake = threading.Condition()
        self._queue: deque[Request] = deque()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._pending = 0
        self._running = 0
        self._unsaid: list[_Ended] = []

    # What callers use.

    def submit(self, request: Request) -> Outcome | None:
        """Have a request handled by the engine's thread; never waits and never raises.

        Returns:
            None where it will be; `dropped` where the queue is full or the engine has ended.
        """
        with self._wake:
            if len(self._queue) < QUEUE_MAX and not self._ending.is_set():
                self._queue.append(request)
                self._wake.notify()
                return None
        return self._counted(request, Outcome(result="dropped", detail="the queue is full"))

    def handle(self, request: Request, *, dry_run: bool = False) -> Outcome:
        """Do what is asked, as far as it may be done, and return what became of it; never raises.

        Args:
            dry_run: whether to say only what would be done.
        """
        return self._guarded(request, lambda: self._handle(request, dry_run=dry_run))

    def plan(self, request: Request) -> Plan:
        """Return what would become of a request now; nothing is done, and nothing is noted.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        considered = self._consider(request)
        if isinstance(considered, Outcome):
            return Plan(considered=None, outcome=considered)
        refused = self._refusal(considered)
        if refused is not None:
            return Plan(considered=considered, outcome=refused)
        is_dry = self._is_dry(considered)
        outcome = self._ledger.read(
            lambda connection, now: admission.outlook(connection, now, considered, is_dry=is_dry)
        )
        return Plan(considered=considered, outcome=outcome)

    def history(
        self, *, playbook: str | None = None, before: int | None = None, limit: int = HISTORY
    ) -> Sequence[Run]:
        """Return runs, dry runs, notices and refusals, the newest first.

        Args:
            before: only those with a lower `number`.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return self._ledger.read(
            lambda connection, _: runs.history(
                connection, playbook=playbook, before=before, limit=limit
            )
        )

    def switch(self, *, on: bool, actor: str, reason: str) -> bool:
        """Turn the kill switch's file on or off, and tell whether that changed anything.

        Raises:
            OSError: the file cannot be made or removed.
            LedgerError: there is no configuration that names the file.
        """
        configuration = self._configuration()
        if configuration is None:
            raise LedgerError("no file of playbooks is read, so that nothing runs, nor is stopped")
        switch = Switch(configuration.stop_file)
        was_on = switch.is_on()
        if on:
            switch.turn_on(actor=actor, reason=reason)
        else:
            switch.turn_off()
        self._ledger.write(
            lambda connection, now: put(
                connection,
                SWITCHED,
                entries.switched(on=on, actor=actor, reason=reason, now=now),
            )
        )
        self._trail.try_to_flush()
        return was_on != on

    @property
    def pending(self) -> int:
        """How many approvals waited when it was last looked; for a gauge."""
        return self._pending

    # The engine's life.

    def start(self) -> None:
        """Start the thread; what dead processes left is looked after first."""
        self._is_started = True
        self._thread = threading.Thread(
            target=self._run, name="otel-metrics-remediation", daemon=True
        )
        self._thread.start()

    def stop(self, deadline_s: float) -> None:
        """Begin nothing more, stop what runs, and wait for it until that reading of the monotonic
        clock. What has not ended by then will be `unknown`."""
        with self._wake:
            self._ending.set()
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self._running, deadline_s - time.monotonic())
        if self._thread is not None:
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        with self._wake:
            is_over = not self._running
        if is_over:  # else others would take what runs on for given up
            self._ledger.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child; what its parent runs is the parent's."""
        self._begin_anew()
        if self._is_started:
            self.start()

    def recover(self) -> None:
        """Take in a lost ledger's audit, give up the runs of dead processes, and run once more what
        is idempotent among them.

        Raises:
            LedgerError: the ledger or the audit cannot be read or written.
        """
        self._adopt()
        for run in recovery.give_up(self._ledger):
            if run.idempotent and run.rerun_of is None and not self._ending.is_set():
                self._run_again(run)
        self._trail.try_to_flush()

    def run_approved(self) -> None:
        """Run what was approved, each once.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        self.approvals.expire()
        for approval in self._ledger.read(approval_rows.ready):
            if not self._ending.is_set():
                self._run_one_approved(approval)

    def verify_due(self) -> None:
        """See whether the metrics of runs that ended are back in their bands.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        verify(self._ledger, self._latest)
        self._trail.try_to_flush()

    # Below is how.

    def _run(self) -> None:
        ending = self._ending
        next_look = time.monotonic()
        while not ending.is_set():
            if time.monotonic() >= next_look:
                self._look_after_all()
                next_look = time.monotonic() + POLL_S
            request = self._next(max(0.0, next_look - time.monotonic()))
            if request is not None and not ending.is_set():
                self.handle(request)

    def _next(self, wait_s: float) -> Request | None:
        with self._wake:
            if not self._queue and not self._ending.is_set():
                self._wake.wait(wait_s)
            return self._queue.popleft() if self._queue else None

    def _look_after_all(self) -> None:
        try:
            with self.at_work:
                self._say_unsaid()
                self.verify_due()
                self._pending = self._ledger.read(
                    lambda connection, _: approval_rows.pending(connection)
                )
            self.recover()
            if self._trail.is_kept:
                self.run_approved()
        except Exception as error:  # noqa: BLE001  # files, and callbacks of others; it goes on
            self._outage.goes_on("remediation: nothing is done until it works again: %s", error)
        else:
            self._outage.is_over("remediation: works again")

    def _guarded(self, request: Request, work: Callable[[], Outcome]) -> Outcome:
        try:
            outcome = work()
        except LedgerError as error:
            outcome = Outcome(result="refused", detail=str(error))
        except Exception as error:  # callbacks and steps of others
            _logger.warning("remediation: a request failed", exc_info=True)
            outcome = Outcome(result="refused", detail=f"{type(error).__name__}: {error}")
        return self._counted(request, outcome)

    def _handle(self, request: Request, *, dry_run: bool = False, ask: bool = False) -> Outcome:
        self._adopt()
        considered = self._consider(request)
        if isinstance(considered, Outcome):
            if considered.result == "notified":
                return self._notified(request, considered.detail)
            return self._refused(request, considered)
        refused = self._refusal(considered)
        if refused is not None:
            return self._refused(request, refused)
        if dry_run or self._is_dry(considered):
            return self._run_dry(considered)
        if ask or considered.ruling.decision == "ask":
            return self._ask(considered)
        return self._run_now(considered)

    def _consider(self, request: Request) -> Considered | Outcome:
        configuration = self._configuration()
        return consider(request, configuration, self._playbooks, self._known_targets)

    def _refusal(self, considered: Considered) -> Outcome | None:
        why = self._switch(considered).why()
        if why:
            return Outcome(result="refused", detail=f"stopped: {why}")
        if considered.ruling.decision == "refuse":
            return Outcome(result="refused", detail=considered.ruling.reason)
        return None

    def _is_dry(self, considered: Considered) -> bool:
        return not (considered.is_enabled and self._trail.is_kept)

    def _switch(self, considered: Considered) -> Switch:
        return Switch(considered.configuration.stop_file, held=self._stop)

    def _adopt(self) -> None:
        if self._trail.is_kept:
            recovery.adopt(self._ledger, self._entries)

    def _notified(self, request: Request, detail: str) -> Outcome:
        configuration = self._configuration()
        most = (configuration.limits if configuration else Limits()).runs_per_hour
        outcome = self._ledger.write(
            lambda connection, now: admission.notice(connection, now, request, detail, most)
        )
        if outcome.result == "notified":
            notify(request, configuration, self._emit)
        return outcome

    def _refused(self, request: Request, outcome: Outcome) -> Outcome:
        said, key = self._trail.is_kept, request.key
        if self._ledger.read(lambda connection, now: admission.is_noted(connection, now, key)):
            return outcome
        self._ledger.write(
            lambda connection, now: admission.refuse(
                connection, now, request, outcome.detail, said=said
            )
        )
        self._trail.try_to_flush()
        return outcome

    def _run_dry(self, considered: Considered) -> Outcome:
        said = self._trail.is_kept
        held = self._held(considered, "dry_run")
        if held is not None:
            return held
        outcome, entry = self._ledger.write(
            lambda connection, now: admission.dry_run(connection, now, considered, said=said)
        )
        if entry is not None and not said:
            self._emit(REQUESTED, entry)
        self._trail.try_to_flush()
        return outcome

    def _ask_for(self, request: Request) -> Outcome:
        return self._guarded(request, lambda: self._handle(request, ask=True))

    def _ask(self, considered: Considered) -> Outcome:
        outcome = self._ledger.write(
            lambda connection, now: admission.ask(
                connection, now, considered, approval_id=admission.new_id()
            )
        )
        self._trail.try_to_flush()
        return outcome

    def _run_now(
        self,
        considered: Considered,
        *,
        approval: Approval | None = None,
        rerun_of: str | None = None,
    ) -> Outcome:
        """Admit a run, say its intent, run its steps, and say its result."""
        recovery.give_up(self._ledger)
        held = self._held(considered, "run", approval=approval, rerun_of=rerun_of)
        if held is not None:
            return held
        with self._wake:
            self._running += 1
        try:
            return self._run_alone(considered, approval, rerun_of)
        finally:
            with self._wake:
                self._running -= 1
                self._wake.notify_all()

    def _held(
        self,
        considered: Considered,
        kind: runs.Kind,
        *,
        approval: Approval | None = None,
        rerun_of: str | None = None,
    ) -> Outcome | None:
        """Look at key and limits without writing, so that a storm costs no disk; it is looked again
        in the transaction that admits."""
        return self._ledger.read(
            lambda connection, now: admission.held(
                connection, now, considered, kind, approval=approval, rerun_of=rerun_of
            )
        )

    def _run_alone(
        self, considered: Considered, approval: Approval | None, rerun_of: str | None
    ) -> Outcome:
        run_id, owner = admission.new_id(), self._ledger.owner()
        outcome = self._ledger.write(
            lambda connection, now: admission.admit(
                connection,
                now,
                considered,
                run_id=run_id,
                owner=owner,
                approval=approval,
                rerun_of=rerun_of,
            )
        )
        if outcome is not None:
            return outcome
        try:
            self._trail.flush()
        except LedgerError as error:
            detail = f"nothing was done: {error}"
            return self._ended(_Ended(run_id=run_id, result="failed", detail=detail), approval)
        if not self._ledger.write(lambda connection, _: runs.begin(connection, run_id, owner)):
            detail = "nothing was done: others took this process for dead"
            return Outcome(result="failed", detail=detail, run_id=run_id)
        switch, ending = self._switch(considered), self._ending
        ran = runner.run(
            considered, run_id=run_id, stopped=lambda: ending.is_set() or switch.is_on()
        )
        ended = _Ended(run_id=run_id, result=ran.result, detail=ran.detail, steps=ran.steps)
        return self._ended(ended, approval)

    def _ended(self, ended: _Ended, approval: Approval | None) -> Outcome:
        """Say what became of a run, now or, where the ledger cannot be written, later."""
        detail = ended.detail
        try:
            self._say_ended(ended)
        except LedgerError as error:
            detail = f"{detail}; not in the ledger yet: {error}"
            self._unsaid.append(ended)
        self._trail.try_to_flush()
        return Outcome(
            result=ended.result,
            detail=detail,
            run_id=ended.run_id,
            approval_id=None if approval is None else approval.id,
        )

    def _say_ended(self, ended: _Ended) -> None:
        self._ledger.write(
            lambda connection, now: admission.end(
                connection, now, ended.run_id, ended.result, ended.detail, ended.steps
            )
        )

    def _say_unsaid(self) -> None:
        """Say what became of runs while the ledger could not be written."""
        while self._unsaid:
            self._say_ended(self._unsaid[0])
            self._unsaid.pop(0)

    def _run_one_approved(self, approval: Approval) -> None:
        considered = self._consider(approval.request)
        if isinstance(considered, Outcome):
            if considered.result == "refused":
                self._void(approval, considered.detail)
            return  # without a binding there may be one again, until it is over
        if considered.digest != approval.digest:
            self._void(approval, "what it would do has changed since it was asked for")
        elif considered.ruling.decision == "refuse":
            self._void(approval, f"refused by {considered.ruling.reason}")
        elif considered.is_enabled and not self._switch(considered).is_on():
            by = Ruling("ask", f"approved by {approval.decided_by}")
            outcome = self._run_now(replace(considered, ruling=by), approval=approval)
            if outcome.result not in ("limited", "repeated"):  # it waits on, until it is over
                self._counted(approval.request, outcome)

    def _void(self, approval: Approval, detail: str) -> None:
        def voided(connection: sqlite3.Connection, now: Now) -> None:
            row = approval_rows.void(connection, approval.id, detail)
            if row is not None:
                put(connection, APPROVAL, entries.approval(row, now, actor="remediation"))

        self._ledger.write(voided)
        self._trail.try_to_flush()

    def _run_again(self, run: Run) -> None:
        """Run once more what is idempotent and may have been done in part."""
        request = replace(run.request, key=f"{run.request.key}{AGAIN}")
        considered = self._consider(request)
        if isinstance(considered, Outcome) or self._refusal(considered) is not None:
            return
        allowed = considered.ruling.decision == "run" or run.approval_id is not None
        is_same = [list(each) for each in considered.plan] == run.plan
        if allowed and is_same and not self._is_dry(considered):
            self._guarded(request, lambda: self._run_now(considered, rerun_of=run.id))

    def _counted(self, request: Request, outcome: Outcome) -> Outcome:
        known = request.playbook if request.playbook in self._playbooks else "unknown"
        attributes = {"playbook.id": known, "remediation.result": outcome.result}
        instruments.metric(_actions).add(1, attributes)
        return outcome

"""Acts on requests: the one object that a service or a command uses.

A request goes through: the kill switch, what is bound to the playbook, parameters and target, the
policy, an approval, the limits; then its intent is on the disk, in the audit; then the steps; then
the result; then the verification. Whatever is missing on the way ends it: nothing is done by
default.

Threads: `otel-metrics-remediation` decides on what was submitted, in its order, and looks once a
second after what was approved, what is to be verified, who died, and what the audit is yet to be
told. The steps of what it lets run are run by `otel-metrics-remediation-run`, of which there are at
most `RUNS_MAX`, and notices are sent by `otel-metrics-remediation-notice`, so that neither holds it
up. `handle` decides and runs on its caller's thread. `_wake` guards the queue. `at_work` is held
while the thread looks after things that need no other's time; a fork takes it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

from otel_metrics import events, instruments, values
from otel_metrics.catalog.model import Playbook
from otel_metrics.outages import Outage
from otel_metrics.remediation import approval_rows, entries, recovery, runs, tidying
from otel_metrics.remediation.approvals import Approvals
from otel_metrics.remediation.audit import SWITCHED, AuditSink
from otel_metrics.remediation.clock import Clock
from otel_metrics.remediation.deciding import ENDING, Decider, Given, Plan
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.executor import Executor
from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.model import Configuration, Outcome, Request
from otel_metrics.remediation.runs import Run
from otel_metrics.remediation.switch import Switch
from otel_metrics.remediation.trail import Emit, Entries, Trail, put
from otel_metrics.remediation.verification import Latest, verify
from otel_metrics.remediation.waiting import Waiting
from otel_metrics.remediation.workers import Hand, Workers, at_once
from otel_metrics.service.samples import Resource

__all__ = ["Engine", "Plan"]

RUNS_MAX: Final = 4
"""Runs of what was submitted or approved whose steps run at the same time."""
RUNS_WAITING_MAX: Final = 100
"""Runs that were let begin and wait for one of those to end; with more the queue waits."""
NOTICES_WAITING_MAX: Final = 100
"""Notices that wait for the webhook; more are not sent, and counted."""
NOTICES_END_S: Final = 1.0
"""How long an end waits for notices at most; each is an event and a log line, too."""
TIDY_S: Final = 60.0
"""How often it is looked for what is old; the next second where there is more of it."""
POLL_S: Final = 1.0
"""How often it is looked after approvals, verifications and the dead."""
PENDING: Final = "remediation.approvals.pending"
HISTORY: Final = 100
"""Runs that `history` returns where no number is given."""

_logger = logging.getLogger("otel_metrics.remediation")


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
        service: whose ledger it must be, since the entries are of it; empty for who has none.
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
        known_targets: Callable[[], Container[Resource]] = tuple,
        stop: bool = False,
        service: str = "",
        emit: Emit = events.emit,
        clock: Clock | None = None,
    ) -> None:
        self._latest = latest or (lambda *_: None)
        self._ledger = Ledger(ledger_path, clock, service=service)
        self._trail = Trail(self._ledger, audit, entries, emit)
        self._given = Given(
            configuration=configuration,
            playbooks=playbooks,
            known_targets=known_targets,
            entries=entries,
            emit=emit,
            stop=stop,
            stop_file=f"{self._ledger.path}.stop",
        )
        self._outage = Outage(_logger)
        self.approvals = Approvals(
            self._ledger,
            self._trail,
            ask=lambda request: self._decider.handle(request, ask=True),
            counted=lambda request, outcome: self._decider.counted(request, outcome),
        )
        self._is_started = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.at_work = threading.Lock()
        self._wake = threading.Condition()
        self._queue = Waiting()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._pending = 0
        self._tidy_at = 0.0
        self._runs = Workers(
            "otel-metrics-remediation-run", threads_max=RUNS_MAX, waiting_max=RUNS_WAITING_MAX
        )
        self._notices = Workers(
            "otel-metrics-remediation-notice", threads_max=1, waiting_max=NOTICES_WAITING_MAX
        )
        self._executor = Executor(self._ledger, self._trail)
        self._decider = Decider(
            self._given, self._ledger, self._trail, self._executor, self._ending
        )

    # What callers use.

    def submit(self, request: Request) -> Outcome | None:
        """Have a request handled by the engine's thread; never waits and never raises.

        Returns:
            None where it will be; `dropped` where too many wait, or the engine has ended;
            `repeated` where one with its key waits.
        """
        with self._wake:
            is_over = self._ending.is_set()
            refused = Outcome(result="dropped", detail=ENDING) if is_over else self._take(request)
        return None if refused is None else self._decider.counted(request, refused)

    def handle(self, request: Request, *, dry_run: bool = False) -> Outcome:
        """Do what is asked, as far as it may be done, and return what became of it; never raises.

        Args:
            dry_run: whether to say only what would be done.
        """
        return self._decider.handle(request, dry_run=dry_run)

    def plan(self, request: Request) -> Plan:
        """Return what would become of a request now; nothing is done, and nothing is noted.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return self._decider.plan(request)

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

        To stop needs the file only; what goes on is in the ledger, for the audit, before it does.

        Raises:
            OSError: the file cannot be made or removed.
            LedgerError: nothing names the file, or the ledger cannot be told that it goes on.
        """
        configuration = self._given.configuration()
        if configuration is None:
            raise LedgerError("no file of playbooks is read, so that nothing runs, nor is stopped")
        switch = Switch(configuration.stop_file or self._given.stop_file)
        was_on = switch.is_on()
        if on:
            switch.turn_on(actor=actor, reason=reason)
            failure = self._failure(lambda: self._say_switched(on=on, actor=actor, reason=reason))
            if failure is not None:
                _logger.warning("remediation: stopped, but not in the audit: %s", failure)
        else:
            self._say_switched(on=on, actor=actor, reason=reason)
            switch.turn_off()
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
        instruments.observe(PENDING, lambda: [(self._pending, {})])
        self._thread = threading.Thread(
            target=self._run, name="otel-metrics-remediation", daemon=True
        )
        self._thread.start()

    def stop(self, deadline_s: float) -> bool:
        """Begin nothing more, stop what runs, and wait for it until that reading of the monotonic
        clock; tell whether nothing runs any more. What has not ended by then will be `unknown`."""
        with self._wake:
            self._ending.set()
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        if not self._executor.wait_idle(deadline_s):  # else others would give up what runs on
            return False
        self._notices.wait_idle(min(deadline_s, time.monotonic() + NOTICES_END_S))
        self._ledger.close(wait_s=deadline_s - time.monotonic())
        return True

    def after_fork(self) -> None:
        """Begin anew in a forked child; what its parent runs is the parent's."""
        is_compared = self._decider.is_compared
        self._begin_anew()
        self._decider.is_compared = is_compared
        if self._is_started:
            self.start()

    def recover(self) -> None:
        """Take in what the audit knows and a lost or old ledger does not; give up the runs of dead
        processes, and run once more what is idempotent among them.

        Raises:
            LedgerError: the ledger or the audit cannot be read or written.
        """
        self._recover(at_once)

    def run_approved(self) -> None:
        """Run what was approved, each once.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        self._run_ready(at_once)

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
                self._decider.decide(request, run=self._hand, tell=self._notices.add)

    def _next(self, wait_s: float) -> Request | None:
        with self._wake:
            if not self._may_take() and not self._ending.is_set():
                self._wake.wait(wait_s)
            return self._queue.next() if self._may_take() else None

    def _take(self, request: Request) -> Outcome | None:
        refused = self._queue.add(request)
        if refused is None:
            self._wake.notify()
        return refused

    def _may_take(self) -> bool:
        return bool(self._queue) and not self._runs.is_full

    def _hand(self, job: Callable[[], object]) -> None:
        if not self._runs.add(job):
            job()  # what was let begin is run, whoever waits

    def _look_after_all(self) -> None:
        with self.at_work:
            failures = [
                self._failure(step) for step in (self._keep_books, self.verify_due, self._tidy)
            ]
        failures += [self._failure(step) for step in (self._recover_aside, self._run_approved)]
        failure = next((each for each in failures if each is not None), None)
        if failure is None:
            self._outage.is_over("remediation: works again")
        else:
            self._outage.goes_on("remediation: not all is done until it works again: %s", failure)

    def _failure(self, step: Callable[[], None]) -> Exception | None:
        """Take a step, and return why it failed."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  # files, and callbacks of others; it goes on
            return error
        return None

    def _say_switched(self, *, on: bool, actor: str, reason: str) -> None:
        actor, reason = values.text(actor), values.text(reason)
        self._ledger.write(
            lambda connection, now: put(
                connection,
                SWITCHED,
                entries.switched(on=on, actor=actor, reason=reason, now=now),
            )
        )

    def _keep_books(self) -> None:
        self._executor.say_unsaid()
        self._pending = self._ledger.read(lambda connection, _: approval_rows.pending(connection))

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidy_at and not tidying.tidy(self._ledger):
            self._tidy_at = time.monotonic() + TIDY_S

    def _recover_aside(self) -> None:
        self._recover(self._hand)

    def _recover(self, run: Hand) -> None:
        self._decider.compare()
        self._decider.give_up()
        for was in recovery.to_run_again(self._ledger):
            if self._may_hand():
                self._decider.run_again(was, run)
        self._trail.try_to_flush()

    def _run_approved(self) -> None:
        if self._trail.is_kept:
            self._run_ready(self._hand)

    def _run_ready(self, run: Hand) -> None:
        self.approvals.expire()
        for approval in self._ledger.read(approval_rows.ready):
            if self._may_hand():
                self._decider.run_approved(approval, run)

    def _may_hand(self) -> bool:
        return not self._ending.is_set() and not self._runs.is_full

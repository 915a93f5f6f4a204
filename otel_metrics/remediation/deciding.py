"""Decides what becomes of a request, and has it run, asked for, noted or notified.

Threads: any; each request is decided on its caller's. `handle` also runs it there, and sends a
notice; `decide` hands both to others.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from otel_metrics import instruments, values
from otel_metrics.catalog.model import Playbook
from otel_metrics.errors import OtelMetricsError
from otel_metrics.remediation import admission, approval_rows, entries, recovery
from otel_metrics.remediation.approval_rows import Approval
from otel_metrics.remediation.audit import APPROVAL, REQUESTED
from otel_metrics.remediation.clock import Now
from otel_metrics.remediation.considering import Considered, consider, noted, readable
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.executor import Admitted, Executor
from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.model import Configuration, Limits, Outcome, Request
from otel_metrics.remediation.notices import notify
from otel_metrics.remediation.policy import Ruling
from otel_metrics.remediation.recovery import AGAIN
from otel_metrics.remediation.runs import Run
from otel_metrics.remediation.switch import Switch
from otel_metrics.remediation.trail import Emit, Entries, Trail, put
from otel_metrics.remediation.workers import Hand, at_once
from otel_metrics.service.samples import Resource

__all__ = ["ENDING", "Decider", "Given", "Plan"]

ACTIONS: Final = "remediation.actions"
UNKNOWN: Final = "unknown"
"""Stands in the metric for a playbook that the catalog does not have."""
ENDING: Final = "the service ends"
"""Why nothing is begun any more, and what runs is stopped, once the engine is."""
ASKED_DRY: Final = "no more was asked for"
NO_AUDIT: Final = "there is no audit with a key; see OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE"

R = TypeVar("R")

_logger = logging.getLogger("otel_metrics.remediation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is decided by; see `Engine`."""

    configuration: Callable[[], Configuration | None]
    playbooks: Mapping[str, Playbook]
    known_targets: Callable[[], Container[Resource]]
    entries: Entries | None
    emit: Emit
    stop: bool
    stop_file: str


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


class Decider:
    """Decides by one ledger.

    Args:
        ending: set once nothing may be begun any more.

    Attributes:
        is_compared: whether it was seen that the audit knows no more than the ledger.
    """

    def __init__(
        self,
        given: Given,
        ledger: Ledger,
        trail: Trail,
        executor: Executor,
        ending: threading.Event,
    ) -> None:
        self._given = given
        self._ledger = ledger
        self._trail = trail
        self._executor = executor
        self._ending = ending
        self.is_compared = False

    def handle(self, request: Request, *, dry_run: bool = False, ask: bool = False) -> Outcome:
        """Do what is asked, as far as it may be done; never raises.

        Args:
            dry_run: whether to say only what would be done.
            ask: whether to ask for an approval also of what the policy lets run.
        """
        asked = readable(request)
        return self._done(asked, self._decided(asked, dry_run=dry_run, ask=ask))

    def decide(self, request: Request, *, run: Hand, tell: Hand) -> None:
        """Decide on a request, and have done what follows; never raises.

        Args:
            run: has steps run.
            tell: has a notice sent.
        """
        asked = readable(request)
        decided = self._decided(asked, tell=tell)
        if isinstance(decided, Admitted):
            run(lambda: self._done(asked, decided))
        else:
            self.counted(asked, decided)

    def counted(self, request: Request, outcome: Outcome) -> Outcome:
        """Count what became of a request, and return it."""
        known = request.playbook in self._given.playbooks
        attributes = {
            "playbook.id": request.playbook if known else UNKNOWN,
            "remediation.result": outcome.result,
        }
        instruments.metric(ACTIONS).add(1, attributes)
        return outcome

    def plan(self, request: Request) -> Plan:
        """Return what would become of a request now; nothing is done, and nothing is noted.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        considered = self._consider(readable(request))
        if isinstance(considered, Outcome):
            return Plan(considered=None, outcome=considered)
        refused = self._refusal(considered)
        if refused is not None:
            return Plan(considered=considered, outcome=refused)
        why = self._why_dry(considered)
        outcome = self._ledger.read(
            lambda connection, now: admission.outlook(connection, now, considered, why_dry=why)
        )
        return Plan(considered=considered, outcome=outcome)

    def run_approved(self, approval: Approval, run: Hand) -> None:
        """Have run what was approved, if it is still what would be done.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        considered = self._consider(approval.request, was_known=True)
        if isinstance(considered, Outcome):
            if considered.result == "refused":
                self._void(approval, considered.detail)
            return  # without a binding there may be one again, until it is over
        if considered.digest != approval.digest:
            self._void(approval, "what it would do has changed since it was asked for")
        elif considered.ruling.decision == "refuse":
            self._void(approval, f"refused by {considered.ruling.reason}")
        elif not self._why_dry(considered) and not self._switch(considered).is_on():
            by = Ruling("ask", f"approved by {approval.decided_by}")
            decided = self._admit(replace(considered, ruling=by), approval=approval)
            self._have_run(
                approval.request, decided, run
            )  # what is limited waits, until it is over

    def run_again(self, was: Run, run: Hand) -> None:
        """Have run once more what is idempotent and may have been done in part.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        request = replace(was.request, key=f"{was.request.key}{AGAIN}")
        considered = self._consider(request, was_known=True)
        if isinstance(considered, Outcome) or self._refusal(considered) is not None:
            return
        allowed = considered.ruling.decision == "run" or was.approval_id is not None
        is_same = [list(each) for each in considered.plan] == was.plan
        if allowed and is_same and not self._why_dry(considered):
            decided = self._admit(considered, rerun_of=was.id)
            self._have_run(request, decided, run)  # what is limited is tried again for a while

    def give_up(self) -> None:
        """End the runs of dead processes, and count what became of them.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        for run in recovery.give_up(self._ledger):
            begun = run.state == "begun"
            outcome = Outcome(
                result="unknown" if begun else "failed",
                detail=recovery.UNKNOWN if begun else recovery.NOT_BEGUN,
            )
            self.counted(run.request, outcome)

    def compare(self) -> None:
        """See once whether the audit knows more than the ledger, as where that is an old copy.

        Raises:
            LedgerError: the audit cannot be read, or the ledger not be written.
        """
        if self._trail.is_kept and not self.is_compared:
            recovery.adopt(self._ledger, self._given.entries, compare=True)
            self.is_compared = True

    def _have_run(self, request: Request, decided: Outcome | Admitted, run: Hand) -> None:
        if isinstance(decided, Admitted):
            run(lambda: self._done(request, decided))
        elif decided.result not in ("limited", "repeated"):
            self.counted(request, decided)

    def _done(self, request: Request, decided: Outcome | Admitted) -> Outcome:
        """Run what was admitted, and return and count what became of a request."""
        if isinstance(decided, Admitted):
            decided = _guarded(partial(self._executor.run, decided))
        return self.counted(request, decided)

    def _decided(
        self, request: Request, *, dry_run: bool = False, ask: bool = False, tell: Hand = at_once
    ) -> Outcome | Admitted:
        return _guarded(lambda: self._decide(request, dry_run=dry_run, ask=ask, tell=tell))

    def _decide(
        self, request: Request, *, dry_run: bool, ask: bool, tell: Hand
    ) -> Outcome | Admitted:
        if self._ending.is_set():
            return Outcome(result="refused", detail=ENDING)
        self._adopt()
        considered = self._consider(request)
        if isinstance(considered, Outcome):
            if considered.result == "notified":
                return self._notified(noted(request), considered.detail, tell)
            return self._refused(request, considered)
        refused = self._refusal(considered)
        if refused is not None:
            return self._refused(request, refused)
        why_dry = self._why_dry(considered) or (ASKED_DRY if dry_run else "")
        if why_dry:
            return self._run_dry(considered, why_dry)
        if ask or considered.ruling.decision == "ask":
            return self._ask(considered)
        return self._admit(considered)

    def _consider(self, request: Request, *, was_known: bool = False) -> Considered | Outcome:
        """Return what would be done; `was_known` where the target was when it was asked for, which
        a process without samples of it cannot tell."""
        given = self._given
        known = (lambda: (request.target,)) if was_known else given.known_targets
        try:
            return consider(request, given.configuration(), given.playbooks, known)
        except OtelMetricsError as error:
            raise LedgerError(f"what is known cannot be read: {error}") from error

    def _refusal(self, considered: Considered) -> Outcome | None:
        why = self._switch(considered).why()
        if why:
            return Outcome(result="refused", detail=f"stopped: {why}")
        if considered.ruling.decision == "refuse":
            return Outcome(result="refused", detail=considered.ruling.reason)
        return None

    def _why_dry(self, considered: Considered) -> str:
        """Return why it would be no more than a dry run; empty where it would be more."""
        if not considered.configuration.enabled:
            return "`enabled` is not true at the top of the file"
        if not considered.binding.enabled:
            return "`enabled` is not true at the playbook"
        return "" if self._trail.is_kept else NO_AUDIT

    def _switch(self, considered: Considered) -> Switch:
        path = considered.configuration.stop_file or self._given.stop_file
        return Switch(path, held=self._given.stop)

    def _adopt(self) -> None:
        if self._trail.is_kept:
            recovery.adopt(self._ledger, self._given.entries)

    def _notified(self, request: Request, detail: str, tell: Hand) -> Outcome:
        configuration = self._given.configuration()
        most = (configuration.limits if configuration else Limits()).runs_per_hour
        outcome = self._ledger.write(
            lambda connection, now: admission.notice(connection, now, request, detail, most)
        )
        if outcome.result == "notified":
            notify(request, configuration, self._given.emit, tell)
        return outcome

    def _refused(self, request: Request, outcome: Outcome) -> Outcome:
        said, key = self._trail.is_kept, request.key
        if self._ledger.read(lambda connection, now: admission.is_noted(connection, now, key)):
            return outcome
        self._ledger.write(
            lambda connection, now: admission.refuse(
                connection, now, noted(request), values.text(outcome.detail), said=said
            )
        )
        self._trail.try_to_flush()
        return outcome

    def _run_dry(self, considered: Considered, why: str) -> Outcome:
        said = self._trail.is_kept
        held = self._ledger.read(
            lambda connection, now: admission.held(connection, now, considered, "dry_run")
        )
        if held is not None:
            return held
        outcome, entry = self._ledger.write(
            lambda connection, now: admission.dry_run(
                connection, now, considered, why=why, said=said
            )
        )
        if entry is not None and not said:
            self._given.emit(REQUESTED, entry)
        self._trail.try_to_flush()
        return outcome

    def _ask(self, considered: Considered) -> Outcome:
        outcome = self._ledger.write(
            lambda connection, now: admission.ask(
                connection, now, considered, approval_id=admission.new_id()
            )
        )
        self._trail.try_to_flush()
        return outcome

    def _admit(
        self,
        considered: Considered,
        *,
        approval: Approval | None = None,
        rerun_of: str | None = None,
    ) -> Outcome | Admitted:
        self.give_up()
        switch, ending = self._switch(considered), self._ending
        return self._executor.admit(
            considered,
            why_stopped=lambda: ENDING if ending.is_set() else switch.why(),
            approval=approval,
            rerun_of=rerun_of,
        )

    def _void(self, approval: Approval, detail: str) -> None:
        def voided(connection: sqlite3.Connection, now: Now) -> bool:
            row = approval_rows.void(connection, approval.id, detail)
            if row is not None:
                put(connection, APPROVAL, entries.approval(row, now, actor="remediation"))
            return row is not None

        if self._ledger.write(voided):
            self.counted(approval.request, Outcome(result="expired", detail=detail))
        self._trail.try_to_flush()


def _guarded(work: Callable[[], R]) -> R | Outcome:
    try:
        return work()
    except LedgerError as error:
        return Outcome(result="refused", detail=str(error))
    except Exception as error:  # callbacks and steps of others
        _logger.warning("remediation: a request failed", exc_info=True)
        return Outcome(result="refused", detail=f"{type(error).__name__}: {error}")

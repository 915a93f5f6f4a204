"""Approvals: listed, shown, asked for, and decided by a named person.

An approval is of exactly what would be done: what is run under it must have the same digest. It is
decided once, used once, and over when its time is. Whoever asked may not approve tier 3 and 4.
"""

import sqlite3
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from otel_metrics import values
from otel_metrics.remediation import approval_rows, entries
from otel_metrics.remediation.approval_rows import Approval, State
from otel_metrics.remediation.audit import APPROVAL
from otel_metrics.remediation.clock import Now
from otel_metrics.remediation.considering import TEXT_CHARS_MAX
from otel_metrics.remediation.errors import DecidedError, NotAllowedError, UnknownApprovalError
from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.model import Outcome, Request
from otel_metrics.remediation.policy import APPROVAL_TIER
from otel_metrics.remediation.trail import Trail, put

__all__ = ["LISTED", "Approval", "Approvals", "State"]

LISTED: Final = 100
"""Approvals that are listed where no number is given."""

Choice = Literal["approve", "reject"]
_STATES: Final[Mapping[Choice, State]] = {"approve": "approved", "reject": "rejected"}


class Approvals:
    """The approvals of one ledger.

    Args:
        ask: what asks for one.
        counted: counts what became of what was asked for.
    """

    def __init__(
        self,
        ledger: Ledger,
        trail: Trail,
        *,
        ask: Callable[[Request], Outcome],
        counted: Callable[[Request, Outcome], object],
    ) -> None:
        self._ledger = ledger
        self._trail = trail
        self._ask = ask
        self._counted = counted

    def list(self, *, state: State | None = None, limit: int = LISTED) -> Sequence[Approval]:
        """Return approvals, the newest first.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        self.expire()
        return self._ledger.read(
            lambda connection, _: approval_rows.listed(connection, state, limit)
        )

    def get(self, approval_id: str) -> Approval:
        """Return one.

        Raises:
            UnknownApprovalError: there is none of that id.
            LedgerError: the ledger cannot be read.
        """
        self.expire()
        found = self._ledger.read(
            lambda connection, _: approval_rows.by_id(connection, approval_id)
        )
        if found is None:
            raise _unknown(approval_id)
        return found

    def stats(self) -> Mapping[str, int]:
        """Return how many there are in each state, and how many of the approved were run.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        self.expire()
        return self._ledger.read(lambda connection, _: approval_rows.stats(connection))

    def create(self, request: Request) -> Outcome:
        """Ask for an approval, whatever the policy says of running without; see `Engine.handle`.

        The outcome is `waiting`, with the approval's id, or says why nobody is asked.
        """
        return self._ask(request)

    def decide(self, approval_id: str, decision: Choice, *, actor: str, reason: str) -> Approval:
        """Approve or reject. What is approved runs once, in the process that next looks.

        Raises:
            UnknownApprovalError: there is none of that id.
            DecidedError: it is decided, over or used.
            NotAllowedError: who asked may not approve it, or no actor is named.
            LedgerError: the ledger cannot be written; nothing was decided.
        """
        if not _plain(actor):
            raise NotAllowedError("actor='': is empty; name who decides")
        actor = values.text(actor, chars_max=TEXT_CHARS_MAX)
        reason = values.text(reason, chars_max=TEXT_CHARS_MAX)
        self.expire()

        def decided(connection: sqlite3.Connection, now: Now) -> Approval:
            asked = approval_rows.by_id(connection, approval_id)
            if asked is None:
                raise _unknown(approval_id)
            if decision == "approve":
                _must_be_another(asked, actor)
            state = _STATES[decision]
            if not approval_rows.decide(
                connection, now, approval_id, state=state, actor=actor, reason=reason
            ):
                raise _decided(asked)
            row = approval_rows.by_id(connection, approval_id)
            assert row is not None
            put(connection, APPROVAL, entries.approval(row, now, actor=actor))
            return row

        row = self._ledger.write(decided)
        if decision == "reject":
            self._counted(row.request, Outcome(result="rejected", detail=reason))
        self._trail.try_to_flush()
        return row

    def expire(self) -> Sequence[Approval]:
        """End what nobody decided, or ran, in time, and return it.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        if self._ledger.read(lambda connection, now: approval_rows.overdue(connection, now)) == 0:
            return []

        def ended(connection: sqlite3.Connection, now: Now) -> Sequence[Approval]:
            over = approval_rows.expire(connection, now)
            for row in over:
                put(connection, APPROVAL, entries.approval(row, now, actor="expiry"))
            return over

        over = self._ledger.write(ended)
        for row in over:
            self._counted(row.request, Outcome(result="expired", detail=row.detail))
        self._trail.try_to_flush()
        return over


def _must_be_another(asked: Approval, actor: str) -> None:
    if asked.tier >= APPROVAL_TIER and _plain(actor) == _plain(asked.request.actor):
        raise NotAllowedError(
            f"actor={actor}: asked for approval {asked.id} of tier {asked.tier}, and may not give "
            "it; let somebody else decide"
        )


def _plain(actor: str) -> str:
    """Return a name as it is compared: two spellings of it are one person."""
    return unicodedata.normalize("NFKC", actor).strip().casefold()


def _unknown(approval_id: str) -> UnknownApprovalError:
    return UnknownApprovalError(f"approval={approval_id}: there is none; list them")


def _decided(asked: Approval) -> DecidedError:
    by = f" by {asked.decided_by}" if asked.decided_by else ""
    run = f", and was used for run {asked.run_id}" if asked.run_id else ""
    return DecidedError(
        f"approval={asked.id}: is {asked.state}{by} already{run}; ask for another one"
    )

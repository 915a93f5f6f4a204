"""After a run: is the metric back in its band in time?

Only a sample of after the run counts. Without one it is not verified when the time is over: absent
data proves nothing. Any process of the service may look; one that has no samples leaves the others
a while before it says that there were none.
"""

import sqlite3
from collections.abc import Callable
from typing import Final

from otel_metrics.remediation import entries, runs
from otel_metrics.remediation.audit import VERIFIED
from otel_metrics.remediation.clock import SECOND_US, Now
from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.runs import Run
from otel_metrics.remediation.trail import put
from otel_metrics.service.samples import Resource, Sample

__all__ = ["GRACE_S", "Latest", "verify"]

Latest = Callable[[str, Resource], Sample | None]
"""Returns the newest sample of a metric of a resource; None where there is none."""

GRACE_S: Final = 30.0
"""How much longer who has no sample waits for a process that has."""


def verify(ledger: Ledger, latest: Latest) -> list[Run]:
    """Look at every run that is to be verified, and return those of which it is known now.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """

    wanted, now = ledger.read(lambda connection, now: (runs.due(connection), now))
    # Outside of a transaction: it is others' code, and may take its time.
    seen = [
        (run, _after(run, latest(run.verify_metric or "", run.request.target))) for run in wanted
    ]
    known = [
        (run, sample, verdict)
        for run, sample in seen
        if (verdict := _verdict(run, sample, now)) is not None
    ]

    def settled(connection: sqlite3.Connection, now: Now) -> list[Run]:
        over = []
        for run, sample, verdict in known:
            if runs.settle(connection, now, run.id, passed=verdict):
                _say(connection, now, run, sample, passed=verdict)
                over.append(run)
        return over

    return ledger.write(settled) if known else []


def _after(run: Run, sample: Sample | None) -> Sample | None:
    """Return a sample that is of after the run; None for every other."""
    is_fresh = sample is not None and sample.observed_at > (run.ended_at or 0.0)
    return sample if is_fresh else None


def _verdict(run: Run, sample: Sample | None, now: Now) -> bool | None:
    """Return whether the metric came back; None while that is not known."""
    if sample is not None and sample.band == run.verify_band:
        return True
    until_us = run.verify_until_us or 0
    grace_us = int(GRACE_S * SECOND_US) if sample is None else 0
    return False if now.us >= until_us + grace_us else None


def _say(
    connection: sqlite3.Connection, now: Now, run: Run, sample: Sample | None, *, passed: bool
) -> None:
    if passed:
        detail = f"{run.verify_metric} is {run.verify_band} again"
    elif sample is None:
        detail = f"{run.verify_metric} has no value of after the run"
    else:
        detail = f"{run.verify_metric} is not {run.verify_band} again: {sample.band}"
    band = None if sample is None else sample.band
    entry = entries.verified(run, now, passed=passed, band=band, detail=detail)
    put(connection, VERIFIED, entry)

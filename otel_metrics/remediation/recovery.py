"""What is done about processes that died, and about a ledger that is younger than its audit.

A process's runs are given up once it is dead: one whose intent was on the disk may have been done,
and is `unknown`; one before that was not begun, and failed. Neither is run again, unless it was
declared idempotent: then once, soon after, whoever gave it up. A ledger that is new, because it was
lost or damaged, takes in from the audit what was run before, so that no key is acted on twice.
"""

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from otel_metrics.remediation import admission, runs
from otel_metrics.remediation import entries as said_of
from otel_metrics.remediation.audit import INTENDED, RESULT, Entry, resource_of
from otel_metrics.remediation.clock import SECOND_US, Now
from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.model import Request
from otel_metrics.remediation.runs import NewRun, Run
from otel_metrics.remediation.trail import Entries, put, said

__all__ = ["AGAIN", "adopt", "give_up", "to_run_again"]

AGAIN: Final = "#again"
"""Ends the key of a run that is another of an idempotent one: there is one at most."""
AGAIN_WITHIN_S: Final = 600
"""So long after it was given up it may be run again, where limits held it back until then."""
UNKNOWN: Final = "the process ended between intent and result"
NOT_BEGUN: Final = "the process ended before the first step"


def give_up(ledger: Ledger) -> list[Run]:
    """End the runs of dead processes, and return them as they were.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    there = ledger.read(lambda connection, _: runs.open_runs(connection))
    dead = [run for run in there if not ledger.is_alive(run.owner)]
    if not dead:
        return []

    def ended(connection: sqlite3.Connection, now: Now) -> list[Run]:
        given_up = []
        for was in dead:
            run = runs.by_id(connection, was.id)
            if run is None or run.state == "ended":
                continue
            begun = run.state == "begun"
            result, detail = ("unknown", UNKNOWN) if begun else ("failed", NOT_BEGUN)
            if admission.end(connection, now, run.id, result, detail):  # type: ignore[arg-type]  # two of them
                given_up.append(run)
        return given_up

    return ledger.write(ended)


def to_run_again(ledger: Ledger) -> list[Run]:
    """Return the idempotent runs whose end is unknown and that were not run again.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return ledger.read(
        lambda connection, now: runs.unknown(
            connection, since_us=now.us - AGAIN_WITHIN_S * SECOND_US, without=AGAIN
        )
    )


def adopt(ledger: Ledger, entries: Entries | None, *, compare: bool = False) -> None:
    """Take in what the audit says, where the ledger is new.

    Args:
        compare: whether to look also where it is not: it may be an old copy.

    Raises:
        LedgerError: the audit cannot be read, or the ledger not be written.
    """
    if not compare and ledger.read(
        lambda connection, _: connection.execute("SELECT adopted FROM head").fetchone()[0]
    ):
        return
    last: Entry | None = None
    intents: dict[str, Entry] = {}
    results: dict[str, str] = {}
    for entry in said(entries):
        if last is None or _sequence(entry) > _sequence(last):
            last = entry
        run_id = str(entry.get("remediation.run.id", ""))
        if entry.get("result") == INTENDED:
            intents[run_id] = entry
        elif "remediation.result" in entry:
            results[run_id] = str(entry["remediation.result"])
    ledger.write(lambda connection, now: _take_in(connection, now, last, intents, results))


def _take_in(
    connection: sqlite3.Connection,
    now: Now,
    last: Entry | None,
    intents: Mapping[str, Entry],
    results: Mapping[str, str],
) -> None:
    adopted, sequence = connection.execute("SELECT adopted, sequence FROM head").fetchone()
    under_way = connection.execute("SELECT count(*) FROM outbox WHERE tried").fetchone()[0]
    if adopted and (last is None or _sequence(last) <= sequence + under_way):
        return
    if last is not None:
        place = (_sequence(last), str(last.get("entry_hash", "")))
        connection.execute("UPDATE head SET sequence = ?, hash = ?", place)
    for run_id, intent in sorted(intents.items(), key=lambda item: _sequence(item[1])):
        _add(connection, now, run_id, intent, results.get(run_id))
    connection.execute("UPDATE head SET adopted = 1")


def _add(
    connection: sqlite3.Connection, now: Now, run_id: str, intent: Entry, result: str | None
) -> None:
    """Add a run that the audit knows, at the time at which it began; without a result its end is
    unknown, which the audit is told."""
    request = Request(
        playbook=str(intent.get("playbook.id", "")),
        parameters={},
        target=resource_of(str(intent.get("resource", ""))),
        actor=str(intent.get("actor", "")),
        reason=str(intent.get("reason", "")),
        key=str(intent.get("remediation.key", run_id)),
        metric=None if intent.get("metric_id") is None else str(intent["metric_id"]),
    )
    if runs.acted_on(connection, "run", request.key) is not None:
        return
    ago_us = max(0, now.wall_us - _time_us(intent, now))
    then = Now(now.us - ago_us, now.wall_us - ago_us)
    new = NewRun(
        id=run_id,
        kind="run",
        request=request,
        parameters=_json(intent.get("remediation.parameters"), {}),
        configuration_sha256=str(intent.get("remediation.configuration.sha256", "")),
        plan=_json(intent.get("remediation.plan"), []),
        result=result or "unknown",  # type: ignore[arg-type]  # as a ledger wrote it
        detail="taken in from the audit",
    )
    runs.add(connection, then, new)
    row = runs.by_id(connection, run_id)
    if result is None and row is not None:
        put(connection, RESULT, said_of.result(row, now))


def _json(text: object, otherwise: Any) -> Any:
    try:
        return json.loads(str(text))
    except ValueError:
        return otherwise


def _sequence(entry: Entry) -> int:
    sequence = entry.get("sequence")
    return sequence if isinstance(sequence, int) else 0


def _time_us(entry: Entry, now: Now) -> int:
    try:
        return int(datetime.fromisoformat(str(entry.get("timestamp"))).timestamp() * 1_000_000)
    except ValueError:
        return now.wall_us

"""What is done about processes that died, and about a ledger that is younger than its audit.

A process's runs are given up once it is dead: one whose intent was on the disk may have been done,
and is `unknown`; one before that was not begun, and failed. Neither is run again, unless it was
declared idempotent: then once, soon after, whoever gave it up. A ledger that is new, because it was
lost or damaged, takes in from the audit what was run before, so that no key is acted on twice.
"""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from otel_metrics.remediation import admission, runs
from otel_metrics.remediation import entries as said_of
from otel_metrics.remediation.audit import INTENDED, LEDGER, RESULT, Entry, resource_of
from otel_metrics.remediation.clock import SECOND_US, Now
from otel_metrics.remediation.ledger import Ledger, is_successor
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
    found = _found(said(entries))
    if ledger.read(lambda connection, now: _is_behind(connection, now, found)):
        ledger.write(lambda connection, now: _take_in(connection, now, found))


class _Found(NamedTuple):
    """What the audit says: the last entry of each ledger; of each run its intent, and result."""

    last: dict[str, Entry]
    intents: dict[str, Entry]
    results: dict[str, str]


def _found(entries: Iterable[Entry]) -> _Found:
    found = _Found({}, {}, {})
    for entry in entries:
        last = found.last.setdefault(str(entry.get(LEDGER, "")), entry)
        if _sequence(entry) > _sequence(last):
            found.last[str(entry.get(LEDGER, ""))] = entry
        if entry.get("result") == INTENDED:
            found.intents[_run_id(entry)] = entry
        elif "remediation.result" in entry:
            found.results[_run_id(entry)] = str(entry["remediation.result"])
    return found


def _take_in(connection: sqlite3.Connection, now: Now, found: _Found) -> None:
    """Go on with a chain: an old copy with its own, a new ledger with that of the one whose place
    it has taken; and take in every run of the service that the ledger does not know."""
    asked = "SELECT adopted, sequence, ledger FROM head"
    adopted, sequence, ledger = connection.execute(asked).fetchone()
    before = [each for name, each in found.last.items() if is_successor(ledger, name)]
    last = max(before, key=lambda entry: _time_us(entry, now), default=None)
    if adopted:
        last = found.last.get(ledger)
    under_way = connection.execute("SELECT count(*) FROM outbox WHERE tried").fetchone()[0]
    if last is not None and _sequence(last) > sequence + under_way:
        ledger = str(last[LEDGER])
        place = (_sequence(last), str(last.get("entry_hash", "")), ledger)
        connection.execute("UPDATE head SET sequence = ?, hash = ?, ledger = ?", place)
    for intent in _unknown(connection, now, found):
        result = found.results.get(_run_id(intent))
        _add(connection, now, intent, result, said=intent.get(LEDGER) == ledger)
    connection.execute("UPDATE head SET adopted = 1")


def _is_behind(connection: sqlite3.Connection, now: Now, found: _Found) -> bool:
    """Tell whether the audit may know more than the ledger; a look that no other waits for."""
    asked = "SELECT adopted, sequence, ledger FROM head"
    adopted, sequence, ledger = connection.execute(asked).fetchone()
    last = found.last.get(ledger)
    is_older = last is not None and _sequence(last) > sequence
    return not adopted or is_older or bool(_unknown(connection, now, found))


def _unknown(connection: sqlite3.Connection, now: Now, found: _Found) -> list[Entry]:
    """Return the intents that the ledger does not know, in the order in which they were said."""
    there = [
        intent
        for intent in found.intents.values()
        if runs.acted_on(connection, "run", _key(intent)) is None
    ]
    return sorted(there, key=lambda intent: (_time_us(intent, now), _sequence(intent)))


def _add(
    connection: sqlite3.Connection, now: Now, intent: Entry, result: str | None, *, said: bool
) -> None:
    """Add a run that the audit knows, at the time at which it began; without a result its end is
    unknown, which the audit is told, unless another ledger's processes are to say it."""
    run_id = _run_id(intent)
    request = Request(
        playbook=str(intent.get("playbook.id", "")),
        parameters={},
        target=resource_of(str(intent.get("resource", ""))),
        actor=str(intent.get("actor", "")),
        reason=str(intent.get("reason", "")),
        key=_key(intent),
        metric=None if intent.get("metric_id") is None else str(intent["metric_id"]),
    )
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
    if said and result is None and row is not None:
        put(connection, RESULT, said_of.result(row, now))


def _run_id(entry: Entry) -> str:
    return str(entry.get("remediation.run.id", ""))


def _key(intent: Entry) -> str:
    return str(intent.get("remediation.key", _run_id(intent)))


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

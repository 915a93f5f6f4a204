"""The audit of a real archive: sealed, signed, and read back as it was said."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.remediation_audit import RemediationAudit
from otel_metrics.archive.verify import verify
from otel_metrics.remediation import audit, chains
from tests.otel_metrics.remediation.desks import HOSTS, Desk, request
from tests.otel_metrics.remediation.workers import WITH_TESTS

KEY = SealKey(bytes(range(32)))
WAIT = """
import sys, time
from tests.otel_metrics.remediation.workers import engine_of
from pathlib import Path
desk, engine = engine_of(Path(sys.argv[1]))
say = desk.audit.say
def slow(event, attributes):
    if event.endswith("requested"):
        print("saying", flush=True)
        time.sleep(1)
    say(event, attributes)
desk.audit.say = slow
from tests.otel_metrics.remediation.desks import request
engine.handle(request(key="theirs", metric=None))
"""


def audit_of(desk: Desk, service: str) -> RemediationAudit:
    """Return a service's audit in the archive of a desk."""
    return RemediationAudit(Settings(path=str(desk.folder / "archive")), key=KEY, service=service)


def lose(desk: Desk) -> None:
    """Remove the ledger, and all that lies beside it."""
    for path in desk.folder.glob("ledger.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def archive(desk: Desk) -> Iterator[RemediationAudit]:
    """An audit in an archive, as services keep theirs."""
    kept = audit_of(desk, "shop")
    yield kept
    kept.close()


def test_an_archive_keeps_the_audit(desk: Desk, archive: RemediationAudit) -> None:
    """What is read back is the chain that was written, and each segment is signed."""
    engine = desk.another(audit=archive, entries=archive.entries)
    hostile = 'a "b"\n\x00\x1b[31m\u202e\ud800 ' + "x" * 70_000
    outcomes = [
        engine.handle(request(key=f"key-{n} \u2028", reason=hostile, metric=None)).result
        for n in range(3)
    ]
    archive.close()
    entries = list(archive.entries())

    assert outcomes == ["succeeded"] * 3
    assert [entry["sequence"] for entry in entries] == list(range(1, 10))
    assert list(chains.faults(entries)) == []
    report = verify(desk.folder / "archive", keys=[KEY])
    assert (report.intact, report.of("integrity"), report.of("completeness")) == (True, [], [])


def test_a_lost_ledger_takes_in_an_archive(desk: Desk, archive: RemediationAudit) -> None:
    """Also from a segment that is open still."""
    engine = desk.another(audit=archive, entries=archive.entries)
    engine.handle(request(metric=None))
    other = desk.another(
        audit=archive, entries=archive.entries, ledger_path=desk.folder / "other.db"
    )

    assert other.handle(request(metric=None)).result == "repeated"
    assert other.handle(request(key="key-2", metric=None)).result == "succeeded"
    assert list(chains.faults(archive.entries())) == []


def test_an_old_copy_of_a_ledger_takes_in_what_came_after(desk: Desk) -> None:
    """A backup that was put back acts on nothing again, and the chain goes on."""
    desk.engine.handle(request(key="before", metric=None))
    desk.engine.stop(time.monotonic() + 30)
    copy = (desk.folder / "ledger.db").read_bytes()
    engine = desk.another()
    engine.handle(request(key="after", metric=None))
    engine.stop(time.monotonic() + 30)
    (desk.folder / "ledger.db").write_bytes(copy)
    restored = desk.another()
    restored.recover()
    again = [restored.handle(request(key=key, metric=None)).result for key in ("before", "after")]
    new = restored.handle(request(key="new", metric=None)).result

    assert (again, new) == (["repeated", "repeated"], "succeeded")
    assert desk.words() == ["done share=10"] * 3
    assert desk.faults() == []


def test_a_ledger_is_of_one_service(desk: Desk) -> None:
    """What another service ran under it would be in an audit that a successor does not read: it
    runs nothing, and says whose ledger it is."""
    with contextlib.ExitStack() as stack:
        audits = [audit_of(desk, service) for service in ("shop", "desk")]
        for each in audits:
            stack.callback(each.close)
        first, second = (
            desk.another(audit=each, entries=each.entries, service=each.service) for each in audits
        )
        ran = first.handle(request(key="shop's", metric=None))
        refused = second.handle(request(key="desk's", metric=None))
        first.stop(time.monotonic() + 30)
        lose(desk)
        again = desk.another(audit=audits[0], entries=audits[0].entries, service="shop")
        repeated = again.handle(request(key="shop's", metric=None))
        said = list(audits[1].entries())

    assert (ran.result, refused.result, repeated.result) == ("succeeded", "refused", "repeated")
    assert refused.detail == (
        f"{desk.folder}/ledger.db: is the ledger of the service 'shop', not of 'desk'; give each "
        "service a ledger of its own"
    )
    assert (said, desk.words()) == ([], ["done share=10"])


def test_the_successor_of_a_lost_ledger_goes_on_with_its_chain(
    desk: Desk, archive: RemediationAudit
) -> None:
    """It is one chain, with one id, and its numbers go on."""
    for key in ("before", "after"):
        engine = desk.another(audit=archive, entries=archive.entries)
        engine.handle(request(key=key, metric=None))
        engine.stop(time.monotonic() + 30)
        lose(desk)
    entries = list(archive.entries())

    assert len({entry[audit.LEDGER] for entry in entries}) == 1
    assert [entry["sequence"] for entry in entries] == list(range(1, 7))
    assert list(chains.faults(entries)) == []


def test_two_ledgers_in_one_archive_are_two_chains(desk: Desk, archive: RemediationAudit) -> None:
    """Each counts from one, and a hole in one is told with its ledger's id."""
    for name in ("one", "two"):
        other = {"audit": archive, "entries": archive.entries, "ledger_path": desk.folder / name}
        desk.another(**other).handle(request(key=name, metric=None))
    entries = list(archive.entries())
    ids = list(dict.fromkeys(entry[audit.LEDGER] for entry in entries))

    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 1, 2, 3]
    assert list(chains.faults(entries)) == []
    assert list(chains.faults(entries[:4] + entries[5:])) == [
        f"ledger {ids[1]}: entries 2 to 2 are missing"
    ]


def test_an_old_copy_takes_in_what_ran_under_another_ledger(desk: Desk) -> None:
    """Whichever ledger of the service ran a key, it is not run again."""
    desk.engine.handle(request(key="before", metric=None))
    desk.another(ledger_path=desk.folder / "other.db").handle(request(key="between", metric=None))
    engine = desk.another()
    engine.recover()

    assert engine.handle(request(key="between", metric=None)).result == "repeated"
    assert desk.faults() == []


@pytest.mark.slow
def test_two_processes_write_one_chain(desk: Desk) -> None:
    """While one says its entries, slowly, the other waits, and says its own behind them."""
    command = [sys.executable, "-c", WAIT, str(desk.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=WITH_TESTS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saying\n"
        outcome = desk.engine.handle(request(key="mine", target=HOSTS[1], metric=None))

    assert outcome.result == "succeeded"
    keys = [line["attributes"]["remediation.key"] for line in desk.audit.lines()]
    assert sorted(keys) == ["mine"] * 3 + ["theirs"] * 3
    assert desk.faults() == []

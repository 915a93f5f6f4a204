"""What is old goes, a bit at a time; what ran is known for ever."""

import signal
import time
from pathlib import Path

import pytest

from otel_metrics.remediation.ledger import Ledger
from otel_metrics.remediation.liveness import FILES_MAX, Presence
from otel_metrics.remediation.tidying import KEPT_S, ROWS_MAX, tidy
from tests.otel_metrics.remediation.desks import HOSTS, Desk, request
from tests.otel_metrics.remediation.test_liveness import started

WAIT_S = 60.0


def ledger_of(desk: Desk) -> Ledger:
    """Return the ledger of a desk."""
    return Ledger(desk.folder / "ledger.db", desk.time.clock())


def kinds(desk: Desk) -> list[str]:
    """Return what the ledger knows, the newest first."""
    return [run.kind for run in desk.engine.history(limit=1_000)]


def of_each_kind(desk: Desk) -> None:
    """Have a run, a dry run, a notice and a refusal."""
    desk.engine.handle(request(metric=None))
    desk.engine.handle(request(key="dry", metric=None), dry_run=True)
    desk.engine.handle(request("scale-workers", "notice"))
    desk.engine.handle(request("no-such", "refused"))


def test_what_ran_stays_and_what_was_only_said_goes(desk: Desk) -> None:
    """After its time, and not before; the key of what ran is known still."""
    of_each_kind(desk)
    desk.time.move(KEPT_S - 1)
    before = (tidy(ledger_of(desk)), kinds(desk))
    desk.time.move(2)
    while tidy(ledger_of(desk)):
        pass

    assert before == (False, ["refusal", "notice", "dry_run", "run"])
    assert kinds(desk) == ["run"]
    assert desk.engine.handle(request(metric=None)).result == "repeated"


def test_so_many_go_at_once(desk: Desk) -> None:
    """Nobody waits for the ledger until years are gone."""
    for number in range(ROWS_MAX + 50):
        if number % 90 == 0:
            desk.time.move(3601)  # no more are noted in an hour
        desk.engine.handle(request("no-such", f"key-{number}"))
    desk.time.move(KEPT_S + 1)
    noted = len(kinds(desk))
    is_more = tidy(ledger_of(desk))

    assert (noted, is_more, len(kinds(desk))) == (ROWS_MAX + 50, True, 50)


@pytest.mark.slow
def test_the_engine_tidies_up(desk: Desk) -> None:
    """Without anybody asking for it."""
    of_each_kind(desk)
    desk.time.move(KEPT_S + 1)
    desk.engine.start()
    deadline = time.monotonic() + WAIT_S
    while kinds(desk) != ["run"] and time.monotonic() < deadline:
        time.sleep(0.01)
    desk.engine.stop(time.monotonic() + WAIT_S)

    assert desk.another().history()[0].request.target == HOSTS[0]
    assert len(desk.another().history()) == 1


@pytest.mark.slow
def test_the_files_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    """Whoever has no run under way is looked for by nobody, and left a file all the same."""
    dead, _ = started(tmp_path)
    living, name = started(tmp_path)
    dead.send_signal(signal.SIGKILL)
    dead.wait(WAIT_S)
    (tmp_path / "notes").write_text("not ours")
    mine = Presence(str(tmp_path))
    own = mine.id()
    is_more = mine.tidy()
    left = sorted(each.name for each in tmp_path.iterdir())
    living.kill()
    living.wait(WAIT_S)

    assert (is_more, left) == (False, sorted([f"{name}.lock", f"{own}.lock", "notes"]))


def test_of_many_files_some_go_at_a_time(tmp_path: Path) -> None:
    """Until all are gone."""
    for number in range(FILES_MAX * 2 + 1):
        (tmp_path / f"{number:016x}.lock").touch()
    presence = Presence(str(tmp_path))
    turns = 1
    while presence.tidy():
        turns += 1

    assert (turns, list(tmp_path.iterdir())) == (3, [])

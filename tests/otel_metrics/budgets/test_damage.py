"""A ledger that is damaged, full or another program's refuses; it never looks as if all were
free."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from otel_metrics.budgets import BudgetExceeded, BudgetLedger, BudgetUnavailable
from tests.otel_metrics.budgets.ledgers import disagreements, entries
from tests.torture.figures import NotRunError
from tests.torture.mounts import tmpfs


def ruin_header(path: Path) -> None:
    """Write over the beginning, where SQLite looks first."""
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)


def ruin_pages(path: Path) -> None:
    """Write over all but the beginning."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


@pytest.mark.parametrize("ruin", [ruin_header, ruin_pages])
def test_a_damaged_ledger_refuses_until_somebody_has_looked(
    ledger: BudgetLedger, path: Path, ruin: Callable[[Path], None]
) -> None:
    """It is kept aside. What was spent is not known, so that nothing may be, in any process; once
    the budgets are defined anew and the damaged file is moved away, all goes on."""
    ledger.define("acme", 100, tenant="acme")
    ledger.spend(100, tenant="acme")
    ledger.close()
    ruin(path)

    for _ in range(3):
        with pytest.raises(BudgetUnavailable) as raised:
            ledger.spend(1, tenant="acme")
    (aside,) = [each for each in path.parent.glob("*.damaged-*") if each.name.endswith("Z")]
    assert str(raised.value) == (
        f"{path}: the ledger was damaged and lies at {aside}; what was spent is not known: put a "
        "copy back, or define the budgets anew and move the damaged one away"
    )
    ledger.define("acme", 50, tenant="acme")
    with pytest.raises(BudgetUnavailable):
        ledger.spend(1, tenant="acme")

    for each in path.parent.glob("*.damaged-*"):
        each.unlink()
    ledger.spend(50, tenant="acme")
    assert ledger.remaining(tenant="acme") == 0


def test_a_copy_that_is_put_back_and_changed_holds_for_who_had_read_the_other(
    ledger: BudgetLedger, path: Path
) -> None:
    """As many changes on either side are not the same budgets."""
    ledger.define("acme", 1_000, tenant="acme")
    ledger.spend(1, tenant="acme")
    ledger.close()
    copy = path.read_bytes()
    ledger.define("acme", 9_000, tenant="acme")
    ledger.spend(1, tenant="acme")
    ledger.close()

    path.write_bytes(copy)
    other = BudgetLedger(path)
    other.define("acme", 100, tenant="acme")
    other.close()

    with pytest.raises(BudgetExceeded):
        ledger.spend(5_000, tenant="acme")


def test_a_ledger_of_which_only_the_log_is_left_refuses(path: Path) -> None:
    """What a killed process leaves is two files; without the first the other is worth nothing."""
    spender = "import os, sys; from otel_metrics.budgets import BudgetLedger\n"
    spender += "ledger = BudgetLedger(sys.argv[1]); ledger.spend(5, tenant='acme'); os._exit(0)"
    subprocess.run([sys.executable, "-c", spender, path], check=True)
    path.unlink()

    with pytest.raises(BudgetUnavailable, match="the ledger was damaged and lies at"):
        BudgetLedger(path).spend(1, tenant="acme")


def test_another_programs_database_is_left_alone(path: Path) -> None:
    """A path that is taken is said to be, and nothing is written to it."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA application_id = 77")
        file.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()

    with pytest.raises(BudgetUnavailable, match="another program's database"):
        BudgetLedger(path).spend(1)

    assert path.read_bytes() == before


def test_a_ledger_of_a_later_release_is_not_written(ledger: BudgetLedger, path: Path) -> None:
    """It can be read."""
    ledger.spend(10, tenant="acme")
    ledger.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA user_version = 9")
        file.execute("UPDATE otel_metrics_schema SET version = 9")

    with pytest.raises(BudgetUnavailable, match="update otel-metrics"):
        ledger.spend(1, tenant="acme")
    assert ledger.remaining(tenant="acme") == 1_499_990


@pytest.mark.parametrize("where", ["a folder", "below a file"])
def test_a_path_that_can_be_none_is_named(tmp_path: Path, where: str) -> None:
    """With what is in the way."""
    path = tmp_path / "taken"
    if where == "a folder":
        path.mkdir()
    else:
        path.write_text("")
        path = path / "budgets.db"

    with pytest.raises(BudgetUnavailable, match="taken"):
        BudgetLedger(path).spend(1)


def test_a_full_disk_books_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """What raised was not booked; what was booked before is there."""
    try:
        with tmpfs(tmp_path, "size=600k") as disk:
            path = disk / "budgets.db"
            ledger = BudgetLedger(path, wait_s=0.1)
            booked = 0
            ballast = disk / "ballast"
            ledger.spend(1, tenant="acme")
            booked += 1
            _fill(ballast)
            with pytest.raises(BudgetUnavailable, match=r"full|disk I/O"):
                while True:
                    ledger.spend(1, tenant="acme")
                    booked += 1
            with pytest.raises(BudgetUnavailable):
                ledger.spend(1, tenant="acme")
            assert ledger.remaining(tenant="acme") == 1_500_000 - booked

            ballast.unlink()
            ledger.spend(1, tenant="acme")
            ledger.close()
            assert len(entries(path)) == booked + 1
            assert disagreements(path) == []
    except NotRunError as error:
        pytest.skip(str(error))


def _fill(ballast: Path) -> None:
    """Take all room that is left."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            os.fsync(file.fileno())

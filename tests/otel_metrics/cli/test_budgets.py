"""`otel-metrics budgets list` and `set`, over a ledger that a service uses."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from otel_metrics.budgets import BudgetExceeded, BudgetLedger
from otel_metrics.cli.budgets import budgets

VARIABLE = "OTEL_PYTHON_METRICS_BUDGETS_DB"


def run(*arguments: object) -> Result:
    """Run a command of the group."""
    return CliRunner().invoke(budgets, [str(each) for each in arguments])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with three budgets, from which two tenants spent."""
    path = tmp_path / "budgets.db"
    ledger = BudgetLedger(path)
    ledger.define("bill", 5, unit="USD", period="month", soft_limit=4)
    ledger.define("acme-daily", 10_000, tenant="acme")
    ledger.spend(7_500, usd=0.75, tenant="acme")
    ledger.spend(1_200, usd=1.25, tenant="bolt")
    with pytest.raises(BudgetExceeded):
        ledger.spend(7_500, tenant="acme")
    ledger.close()
    return path


def test_a_list_says_how_every_budget_stands(path: Path) -> None:
    """A row each, with amounts as people write them, and its times in UTC."""
    lines = [line.split() for line in run("list", "--db", path).output.splitlines()]

    assert [" ".join(line[:-2]) for line in lines[1:]] == [
        "acme-daily tenant acme tokens day 10,000 7,500 0 2,500 1",
        "bill global USD month 5.00 4.00 2.00 0.00 3.00 0",
        "tenant-daily tenant * tokens day 1,500,000 0 0 1,500,000 0",
        "tenant-daily/bolt tenant bolt tokens day 1,500,000 1,200 0 1,498,800 0",
    ]


def test_other_formats_have_numbers(path: Path) -> None:
    """And the subject apart from the scope."""
    rows = json.loads(run("list", "--db", path, "--format", "json").output)

    bill = {row["name"]: row for row in rows}["bill"]
    assert bill.pop("resets_at").endswith("-01T00:00:00Z")
    assert bill == {
        "name": "bill",
        "scope": "global",
        "subject": "",
        "unit": "USD",
        "period": "month",
        "limit": 5.0,
        "soft_limit": 4.0,
        "used": 2.0,
        "reserved": 0.0,
        "remaining": 3.0,
        "refusals": 0,
    }


def test_the_variable_names_the_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does for a service."""
    monkeypatch.setenv(VARIABLE, str(path))

    assert "acme-daily" in run("list").output


def test_set_adds_a_budget(path: Path) -> None:
    """Says what holds now; what was spent in the period counts."""
    result = run("set", "bolt", "--db", path, "--limit", "1.5k", "--soft", 1000, "--tenant", "bolt")

    assert result.output == (
        "budget bolt: tenant bolt, 1,500 tokens a day, soft limit 1,000; 1,200 used\n"
    )
    with pytest.raises(BudgetExceeded):
        BudgetLedger(path).spend(301, tenant="bolt")


def test_set_changes_what_is_given(path: Path) -> None:
    """And nothing else."""
    changes = [
        ("--limit", "7.50"),
        ("--soft", "none"),
        ("--period", "DAY"),
        ("--skill", "triage"),
    ]
    said = [run("set", "bill", "--db", path, *change).output for change in changes]

    assert said == [
        "budget bill: global, 7.50 USD a month, soft limit 4.00; 2.00 used\n",
        "budget bill: global, 7.50 USD a month; 2.00 used\n",
        "budget bill: global, 7.50 USD a day; 2.00 used\n",
        "budget bill: skill triage, 7.50 USD a day; 0.00 used\n",
    ]


def test_set_changes_the_quota_of_each_tenant(path: Path) -> None:
    """The one that a new ledger holds."""
    result = run("set", "tenant-daily", "--db", path, "--limit", "2M")

    assert result.output == "budget tenant-daily: each tenant, 2,000,000 tokens a day\n"


def test_set_makes_a_ledger(tmp_path: Path) -> None:
    """Before any service has used it, and says so."""
    path = tmp_path / "folder" / "new.db"
    result = run("set", "bill", "--db", path, "--limit", "5.00", "--unit", "usd")

    assert result.stderr == f"{path}: a new ledger is made\n"
    assert result.stdout == "budget bill: global, 5.00 USD a day; 0.00 used\n"


def test_set_removes_a_budget(path: Path) -> None:
    """One that there is not is status 1, with what was meant."""
    assert run("set", "bill", "--remove", "--db", path).output == "budget bill is removed\n"

    result = run("set", "acme-dayly", "--remove", "--db", path)
    assert result.exit_code == 1
    assert result.stderr == "NAME=acme-dayly: there is no such budget; did you mean acme-daily?\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new"], "--limit: is missing, and new is a new budget; give 1.5M or 5.00"),
        (["bill", "--unit", "tokens"], "--limit: is missing, and --unit is changed; give"),
        (["new", "--limit", "many"], "--limit=many: is no amount of tokens; accepted is 1500000"),
        (["new", "--limit", "5.5"], "--limit=5.5: is no whole number of tokens; accepted is 150"),
        (["new", "--limit", "5.5"], "or 1.5M; or dollars, with --unit USD"),
        (["new", "--limit", "$5"], "--limit=$5: is no amount of tokens"),
        (["new", "--limit", "$5"], "; or dollars, with --unit USD"),
        (["new", "--limit", "-5"], "--limit=-5: is no amount of tokens; accepted is 1500000 or 1"),
        (["new", "--limit", "5.00x", "--unit", "USD"], "--limit=5.00x: is no amount of USD"),
        (["new", "--limit", "5", "--soft", "some"], "--soft=some: is no amount of tokens"),
        (
            ["new", "--limit", "5", "--unit", "tokenz"],
            "--unit=tokenz: is not known; give tokens or",
        ),
        (["new", "--limit", "5", "--period", "monthly"], "day or month; did you mean month?"),
        (["new", "--limit", "5", "--soft", "6"], "--soft=6: is above the limit; give at most 5"),
        (
            ["new", "--limit", "5", "--tenant", "a", "--skill", "b"],
            "--tenant, --skill: a budget is of one of them",
        ),
        (["a/b", "--limit", "5"], "NAME=a/b: accepted is a printable text"),
        (["bill", "--remove", "--limit", "5"], "--remove: takes no --limit; leave one of them out"),
        (["new", "--limt", "5"], "--limt: no such option; did you mean --limit?"),
    ],
)
def test_wrong_use_is_status_2(path: Path, arguments: list[str], said: str) -> None:
    """It says what is wrong and what is accepted, and changes nothing."""
    before = run("list", "--db", path).output
    result = run("set", *arguments, "--db", path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert run("list", "--db", path).output == before


def test_wrong_use_makes_no_ledger(tmp_path: Path) -> None:
    """Neither the file nor its folder."""
    results = [
        run("set", *wrong, "--db", tmp_path / "new" / "budgets.db")
        for wrong in (["a"], ["a", "--limit", "1", "--soft", "2"], ["a/b", "--limit", "1"])
    ]

    assert [result.exit_code for result in results] == [2, 2, 2]
    assert not any("is made" in result.output for result in results)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_without_budgets_is_told(path: Path) -> None:
    """It is no error."""
    for name in ("bill", "acme-daily", "tenant-daily"):
        run("set", name, "--remove", "--db", path)
    result, rows = run("list", "--db", path), run("list", "--db", path, "--format", "json")

    assert (result.exit_code, result.stdout, rows.stdout) == (0, "", "[]\n")
    assert result.stderr == f"{path}: holds no budget; otel-metrics budgets set adds one\n"


def test_one_token_is_one(tmp_path: Path) -> None:
    """As people say it."""
    result = run("set", "a", "--limit", "1", "--db", tmp_path / "budgets.db")

    assert result.stdout == "budget a: global, 1 token a day; 0 used\n"


@pytest.mark.parametrize("command", [["list"], ["set", "bill", "--remove"]])
def test_a_ledger_that_is_not_there_is_status_2(command: list[str], tmp_path: Path) -> None:
    """It is not made, and a file that is none is left as it is."""
    assert run(*command).stderr == f"--db: no ledger is named; give its file, or set {VARIABLE}\n"
    missing = run(*command, "--db", tmp_path / "missing.db")
    assert (missing.exit_code, (tmp_path / "missing.db").exists()) == (2, False)
    assert missing.stderr.startswith(f"--db={tmp_path}/missing.db: there is no such file; give")
    (tmp_path / "notes.txt").write_text("not a database, and dear to somebody")
    wrong = run(*command, "--db", tmp_path / "notes.txt")
    assert (wrong.exit_code, [each.name for each in tmp_path.iterdir()]) == (2, ["notes.txt"])
    assert "is no SQLite database" in wrong.stderr


def test_a_ledger_of_another_program_is_status_1(tmp_path: Path) -> None:
    """With its path."""
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as file:
        file.execute("PRAGMA application_id = 77")
        file.execute("CREATE TABLE theirs (a)")

    result = run("list", "--db", tmp_path / "theirs.db")

    assert result.exit_code == 1
    assert "another program's database" in result.stderr


def test_a_damaged_ledger_is_status_3(path: Path) -> None:
    """It says where it lies, and that nothing is allowed meanwhile."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))

    result = run("list", "--db", path)

    assert result.exit_code == 3
    assert f"{path}: was damaged and lies at {path}.damaged-" in result.stderr


def test_a_name_drives_no_terminal(path: Path) -> None:
    """What tenants are called is data of others."""
    BudgetLedger(path).spend(1, tenant="\x1b[2Jevil")

    output = run("list", "--db", path).output
    assert "\x1b" not in output
    assert "\\u001b[2Jevil" in output

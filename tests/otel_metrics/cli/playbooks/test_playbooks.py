"""`otel-metrics playbooks`: list, plan, run, history, over a service's files and a real program."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_exporter_ndjson import read
from tests.collector_config.running import DEADLINE_S, until
from tests.otel_metrics.remediation.commands import rows, run, variables
from tests.otel_metrics.remediation.shop import Shop

BY_ANN = ("--actor", "ann", "--reason", "OPS-7")
SHIFT = ("shift-load", "--target", "web-1")
NODES = ("scale-nodes", "--target", "web-1")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The files of a service."""
    return Shop(tmp_path)


def table(text: str) -> list[str]:
    """Return the lines of a table, its blanks as one."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_list_says_what_is_bound_and_when_it_ran(shop: Shop) -> None:
    """Every playbook of the catalog, or those to which something is bound."""
    run(shop, "playbooks", "run", *SHIFT, *BY_ANN)
    began_at = rows(shop, "playbooks", "history")[0]["began_at"]

    result = run(shop, "playbooks", "list", "--bound")

    assert table(result.stdout) == [
        "PLAYBOOK RISK TIER APPROVAL BOUND_TO ENABLED LAST_RUN",
        f"shift-load medium 2 no program yes {began_at} succeeded",
        "scale-nodes high 3 yes program yes",
        "migrate-workloads high 3 yes program yes",
    ]
    assert (result.stderr, result.exit_code) == ("", 0)
    everything = rows(shop, "playbooks", "list")
    unbound = next(each for each in everything if each["playbook"] == "scale-workers")
    assert (len(everything) > 40, unbound["bound_to"], unbound["enabled"]) == (True, [], False)
    assert unbound["recommended_by"] == ["executor.queue_depth"]


def test_a_list_without_files_says_what_there_could_be(shop: Shop) -> None:
    """To which nothing is bound only notifies."""
    result = run(
        shop,
        "playbooks",
        "list",
        OTEL_PYTHON_METRICS_PLAYBOOKS=None,
        OTEL_PYTHON_METRICS_REMEDIATION_DB=None,
    )

    assert "scale-workers low 1 no nothing" in table(result.stdout)
    assert result.stderr == (
        "--playbooks: is not given, so nothing is bound; every playbook only notifies\n"
    )


def test_a_plan_says_exactly_what_would_be_done(shop: Shop) -> None:
    """Down to the arguments, with what the policy says; and makes nothing."""
    before = sorted(os.listdir(shop.db.parent))
    result = run(shop, "playbooks", "plan", *SHIFT, "--parameter", "target=web-2")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if " " in line)

    assert {key: lines[key] for key in ("result", "policy", "steps", "verification")} == {
        "result": "run",
        "policy": "run, by rule 3 of the policy",
        "steps": f"{shop.playbooks.parent}/act shift web-2",
        "verification": "infra.cpu_utilization good within 600 s",
    }
    assert result.exit_code == 0
    assert sorted(os.listdir(shop.db.parent)) == before


@pytest.mark.parametrize(
    ("arguments", "result", "detail"),
    [
        (
            (*SHIFT, "--parameter", "target=--help"),
            "refused",
            "target='--help': does not match [A-Za-z0-9][A-Za-z0-9._:@/-]*; give one that does",
        ),
        (
            (*NODES, "--parameter", "nodes=99"),
            "refused",
            "nodes=99: is above 20; give at most 20",
        ),
        (("migrate-workloads", "--target", "web-1"), "refused", "rule 1 of the policy"),
        (("scale-workers", "--target", "orders"), "notified", "nothing is bound to scale-workers"),
    ],
)
def test_a_plan_of_what_would_not_be_done(
    shop: Shop, arguments: tuple[str, ...], result: str, detail: str
) -> None:
    """Status 1, and the reason."""
    done = run(shop, "playbooks", "plan", *arguments, "--format", "json")
    row = json.loads(done.stdout)[0]

    assert (done.exit_code, row["result"]) == (1, result)
    assert row["detail"].startswith(detail.partition(" match ")[0])


def test_a_run_does_it_and_is_in_the_audit(shop: Shop) -> None:
    """Its entries in order, each sealed with the key; the archive verifies."""
    result = run(shop, "playbooks", "run", *SHIFT, *BY_ANN)
    found = rows(shop, "playbooks", "history")[0]

    assert (result.exit_code, shop.did()) == (0, ["shift web-9"])
    assert (found["result"], found["actor"], found["reason"]) == ("succeeded", "ann", "OPS-7")
    said = rows(shop, "playbooks", "history", found["id"])
    assert [(each["event"], each["actor"], each["result"]) for each in said] == [
        ("remediation.requested", "ann", "admitted"),
        ("remediation.intent", "ann", "intended"),
        ("remediation.result", "ann", "succeeded"),
    ]
    verified = run(shop, "archive", "verify")
    assert "signatures checked" in verified.output
    assert verified.exit_code == 0, verified.output
    events = [record.data["event"] for record in read(shop.archive, signal="events")]
    assert events == [each["event"] for each in said]


@pytest.mark.slow
def test_a_run_that_is_interrupted_is_unknown(shop: Shop) -> None:
    """What it began is ended, and whether that was done is for somebody to look."""
    act = shop.playbooks.parent / "act"
    act.write_text(act.read_text() + "exec sleep 600\n")
    command = [sys.executable, "-m", "otel_metrics", "playbooks", "run", *SHIFT, *BY_ANN]
    with subprocess.Popen(
        command, env={**os.environ, **variables(shop)}, stderr=subprocess.PIPE, text=True
    ) as process:
        until(shop.did, lambda: "it is not begun")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 130
    assert said.startswith("interrupted: what was begun is ended, and its result is unknown; ")
    with shop.engine():
        until(lambda: rows(shop, "playbooks", "history")[0]["result"] == "unknown", lambda: "")


def test_what_needs_an_approval_waits(shop: Shop) -> None:
    """Status 3; nothing is done."""
    result = run(shop, "playbooks", "run", *NODES, *BY_ANN, "--parameter", "nodes=3")

    assert (result.exit_code, shop.did()) == (3, [])
    assert rows(shop, "approvals", "list")[0]["asked_by"] == "ann"


def test_a_limit_holds_for_people_too(shop: Shop) -> None:
    """The second run on the same target has to wait."""
    first, second = (run(shop, "playbooks", "run", *SHIFT, *BY_ANN) for _ in range(2))

    assert (first.exit_code, second.exit_code, shop.did()) == (0, 1, ["shift web-9"])
    assert "limited" in second.stdout


@pytest.mark.parametrize(
    ("changes", "option", "status"),
    [
        ({"OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE": None}, (), 3),
        ({}, ("--dry-run",), 0),
    ],
)
def test_a_dry_run_does_nothing(
    shop: Shop, changes: dict[str, None], option: tuple[str, ...], status: int
) -> None:
    """Asked for, or because without a key there is no audit: then that is said."""
    result = run(shop, "playbooks", "run", *SHIFT, *BY_ANN, *option, **changes)

    assert (result.exit_code, shop.did()) == (status, [])
    assert rows(shop, "playbooks", "history")[0]["kind"] == "dry_run"
    assert ("nothing was done" in result.stderr) is (status == 3)


def test_what_is_not_enabled_is_a_dry_run(shop: Shop) -> None:
    """The default of a file that says nothing of it."""
    shop.playbooks.write_text(
        shop.playbooks.read_text().replace("enabled: true\nprograms", "programs")
    )
    planned = rows(shop, "playbooks", "plan", *SHIFT)[0]
    result = run(shop, "playbooks", "run", *SHIFT, *BY_ANN)

    assert (result.exit_code, shop.did()) == (3, [])
    assert planned["detail"].endswith("; dry, as `enabled` is not true at the top of the file")
    assert result.stderr == f"nothing was done: it {planned['detail']}\n"
    assert run(shop, "playbooks", "list", "--bound").stderr == (
        f"{shop.playbooks}: enabled is false, so that every run is a dry run\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("plan", "shift-laod", "--target", "x"),
            "PLAYBOOK=shift-laod: is no playbook of the catalog; did you mean shift-load?",
        ),
        (
            ("plan", *SHIFT, "--metric", "infra.cpu"),
            "--metric=infra.cpu: is no metric of the catalog; did you mean infra.cpu_utilization?",
        ),
        (("plan", *SHIFT, "--parameter", "target"), "--parameter=target: is no NAME=VALUE"),
        (
            ("plan", *SHIFT, "--parameter", "a=1", "--parameter", "a=2"),
            "--parameter=a: is given twice; leave one out",
        ),
        (
            ("run", *SHIFT, "--actor", "Recommendation", "--reason", "x"),
            "--actor=Recommendation: is what the audit calls no person; give your name",
        ),
        (
            ("run", *SHIFT, "--actor", "ann", "--reason", " "),
            "--reason: is empty; the audit says who does this, and why",
        ),
    ],
)
def test_wrong_use_is_a_line(shop: Shop, arguments: tuple[str, ...], message: str) -> None:
    """Status 2, and what to do."""
    result = run(shop, "playbooks", *arguments)

    assert (result.exit_code, result.output) == (2, f"{message}\n")


def test_a_file_that_does_not_hold_is_told_line_by_line(shop: Shop) -> None:
    """Every problem, with its line."""
    text = shop.playbooks.read_text().replace("  shift-load:", "  shift-laod:")
    shop.playbooks.write_text(text.replace("enabled: true\nprograms", "enabled: maybe\nprograms"))
    result = run(shop, "playbooks", "run", *SHIFT, *BY_ANN)

    lines = result.output.splitlines()
    assert (result.exit_code, len(lines)) == (2, 2)
    assert lines[0].startswith(f"{shop.playbooks}:2: enabled: ")
    assert lines[1].startswith(f"{shop.playbooks}:9: playbooks.shift-laod: is no playbook")


def test_a_key_that_is_not_there_is_told_with_what_makes_one(shop: Shop) -> None:
    """Status 2, by the name of what was set."""
    variable = {"OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE": "/nowhere/key"}
    result = run(shop, "playbooks", "run", *SHIFT, *BY_ANN, **variable)

    assert (result.exit_code, result.output) == (
        2,
        (
            "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE=/nowhere/key: No such file or directory; name a "
            "key that this user may read; otel-metrics archive keygen makes one\n"
        ),
    )


def test_a_ledger_that_others_can_write_runs_nothing(shop: Shop, tmp_path: Path) -> None:
    """Status 2; the kill switch works all the same."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    ledger = {"OTEL_PYTHON_METRICS_REMEDIATION_DB": str(folder / "remediation.db")}
    result = run(shop, "playbooks", "run", *SHIFT, *BY_ANN, **ledger)
    run(shop, "playbooks", "stop", *BY_ANN, **ledger)

    assert (result.exit_code, shop.did()) == (2, [])
    assert (folder / "remediation.db.stop").exists()
    assert f"others may write {folder} (mode 0777)" in result.output


@pytest.mark.parametrize(
    "arguments", [("history",), ("run", *SHIFT, *BY_ANN), ("plan", *SHIFT), ("list",)]
)
def test_another_programs_file_is_left_alone(shop: Shop, arguments: tuple[str, ...]) -> None:
    """A ledger would take it for a damaged one."""
    shop.db.write_text("notes of mine")
    result = run(shop, "playbooks", *arguments)

    assert (result.exit_code, result.output) == (
        2,
        (
            f"OTEL_PYTHON_METRICS_REMEDIATION_DB={shop.db}: is no SQLite database; give the file "
            "that a service uses\n"
        ),
    )
    assert shop.db.read_text() == "notes of mine"


def test_a_history_that_is_not_there(shop: Shop) -> None:
    """No ledger is made for it."""
    result = run(shop, "playbooks", "history")

    assert (result.exit_code, shop.db.exists()) == (2, False)
    assert run(shop, "playbooks", "history", "nothing").output == (
        f"RUN=nothing: --archive={shop.archive} says nothing of it\n"
    )


def test_a_playbook_that_never_ran_is_told(shop: Shop) -> None:
    """And what was meant, where there is no such playbook."""
    run(shop, "playbooks", "run", *SHIFT, *BY_ANN)

    assert run(shop, "playbooks", "history", "--playbook", "scale-wokers").stderr == (
        f"{shop.db}: has no runs of scale-wokers; did you mean scale-workers?\n"
    )
    assert run(shop, "playbooks", "history", "--playbook", "scale-workers").stderr == (
        f"{shop.db}: has no runs of scale-workers\n"
    )


def test_a_changed_audit_shows(shop: Shop) -> None:
    """An entry that somebody wrote anew does not fit into the chain: status 3."""
    run(shop, "playbooks", "run", *SHIFT, *BY_ANN)
    run_id = rows(shop, "playbooks", "history")[0]["id"]
    for file in shop.archive.glob("audit/*/*/*.ndjson*"):
        file.unlink()
    run(shop, "playbooks", "run", "shift-load", "--target", "web-2", *BY_ANN)
    newest = rows(shop, "playbooks", "history")[0]["id"]

    gone, kept = (run(shop, "playbooks", "history", each) for each in (run_id, newest))

    assert gone.exit_code == 1
    assert kept.exit_code == 3
    assert kept.stderr.startswith(f"--archive={shop.archive}: the audit: ledger ")
    assert kept.stderr.endswith(": entries 1 to 3 are missing\n")

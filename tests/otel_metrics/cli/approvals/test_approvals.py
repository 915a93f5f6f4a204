"""`otel-metrics approvals`: list, show, approve, reject, over a service's ledger."""

import json
import time
from pathlib import Path

import pytest

from tests.otel_metrics.remediation.commands import rows, run
from tests.otel_metrics.remediation.shop import Shop

DEADLINE_S = 30.0
BY_BOB = ("--actor", "bob", "--reason", "looks right")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The files of a service in which somebody has asked for nodes."""
    shop = Shop(tmp_path)
    asked = ("scale-nodes", "--target", "web-1", "--actor", "ann", "--reason", "OPS-7")
    run(shop, "playbooks", "run", *asked, "--parameter", "nodes=3")
    return shop


def asked(shop: Shop) -> str:
    """Return the id of the newest approval."""
    found = rows(shop, "approvals", "list", "--state", "all")[0]["id"]
    assert isinstance(found, str)
    return found


def test_what_waits_is_listed(shop: Shop) -> None:
    """With who asked, and until when it can be decided."""
    found = rows(shop, "approvals", "list")[0]
    lines = run(shop, "approvals", "list").stdout.splitlines()

    assert [" ".join(line.split()) for line in lines] == [
        "ID STATE PLAYBOOK TIER TARGET ASKED_BY EXPIRES_AT REASON",
        f"{found['id']} pending scale-nodes 3 host/web-1 ann {found['expires_at']} OPS-7",
    ]


def test_an_approval_is_shown_down_to_the_arguments(shop: Shop) -> None:
    """Exactly what is agreed to."""
    found = json.loads(run(shop, "approvals", "show", asked(shop), "--format", "json").stdout)
    shown = run(shop, "approvals", "show", asked(shop)).stdout

    assert found["plan"] == [[f"{shop.playbooks.parent}/act", "nodes", "3"]]
    assert f"{shop.playbooks.parent}/act nodes 3\n" in shown
    assert found["sha256"] in shown


@pytest.mark.slow
def test_what_is_approved_is_run_once_by_the_service(shop: Shop) -> None:
    """By a service that runs beside; and the audit has both people."""
    approval = asked(shop)
    result = run(shop, "approvals", "approve", approval, *BY_BOB)
    with shop.engine():
        deadline = time.monotonic() + DEADLINE_S
        while rows(shop, "playbooks", "history", "--playbook", "scale-nodes")[:1] == []:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while not shop.did():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    assert (result.exit_code, shop.did()) == (0, ["nodes 3"])
    run_id = rows(shop, "playbooks", "history")[0]["id"]
    said = rows(shop, "playbooks", "history", run_id)
    assert [(each["event"].partition(".")[2], each["actor"], each["result"]) for each in said][
        :3
    ] == [
        ("approval", "ann", "pending"),
        ("approval", "bob", "approved"),
        ("intent", "ann", "intended"),
    ]


def test_who_asked_may_not_approve(shop: Shop) -> None:
    """However the name is written; status 1."""
    for name in ("ann", "ANN", " ann"):
        result = run(shop, "approvals", "approve", asked(shop), "--actor", name, "--reason", "x")
        assert (result.exit_code, "may not give it" in result.stderr) == (1, True)


def test_an_approval_is_decided_once(shop: Shop) -> None:
    """The second decision is refused, whatever it is; status 1."""
    approval = asked(shop)
    first = run(shop, "approvals", "reject", approval, *BY_BOB)
    second = run(shop, "approvals", "approve", approval, *BY_BOB)

    assert (first.exit_code, second.exit_code) == (0, 1)
    assert second.stderr == (
        f"approval={approval}: is rejected by bob already; ask for another one\n"
    )
    assert rows(shop, "approvals", "list") == []
    assert run(shop, "approvals", "list").stderr == f"{shop.db}: no approval is pending\n"


@pytest.mark.slow
def test_without_a_key_a_decision_waits_for_the_service_to_be_in_the_audit(shop: Shop) -> None:
    """It holds, and the service that has the key says it."""
    result = run(
        shop,
        "approvals",
        "reject",
        asked(shop),
        *BY_BOB,
        OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE=None,
    )

    assert result.exit_code == 0
    with shop.engine() as engine:
        engine.verify_due()
    audited = run(shop, "archive", "cat", "--signal", "audit", "--format", "json").stdout
    assert '"rejected"' in audited


@pytest.mark.parametrize("command", ["show", "approve", "reject"])
def test_an_approval_that_there_is_not(shop: Shop, command: str) -> None:
    """Status 1, and what to do."""
    options = () if command == "show" else BY_BOB
    result = run(shop, "approvals", command, "nothing", *options)

    assert (result.exit_code, result.stderr) == (1, "approval=nothing: there is none; list them\n")


def test_without_a_ledger_there_is_nothing_to_decide(tmp_path: Path) -> None:
    """None is made; status 2."""
    shop = Shop(tmp_path)
    result = run(shop, "approvals", "list")

    assert (result.exit_code, shop.db.exists()) == (2, False)
    assert result.stderr == (
        f"OTEL_PYTHON_METRICS_REMEDIATION_DB={shop.db}: there is no such file; give the file that "
        "a service uses\n"
    )

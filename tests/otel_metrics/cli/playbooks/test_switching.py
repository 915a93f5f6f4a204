"""`otel-metrics playbooks stop` and `resume`: the kill switch, whatever else does not work."""

import sqlite3
from pathlib import Path

import pytest

from otel_exporter_ndjson import read
from tests.otel_metrics.remediation.commands import rows, run
from tests.otel_metrics.remediation.shop import Shop

BY_ANN = ("--actor", "ann", "--reason", "the fleet moves")
SHIFT = ("shift-load", "--target", "web-1", *BY_ANN)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The files of a service that has run."""
    shop = Shop(tmp_path)
    run(shop, "playbooks", "run", "shift-load", "--target", "web-2", *BY_ANN)
    return shop


def test_nothing_runs_until_it_is_resumed(shop: Shop) -> None:
    """Whoever asks; and the audit says who stopped it."""
    stopped = run(shop, "playbooks", "stop", *BY_ANN)
    refused = run(shop, "playbooks", "run", *SHIFT)
    resumed = run(shop, "playbooks", "resume", *BY_ANN)
    done = run(shop, "playbooks", "run", *SHIFT)

    assert [each.exit_code for each in (stopped, refused, resumed, done)] == [0, 1, 0, 0]
    assert "ann: the fleet moves" in refused.stdout
    assert len(shop.did()) == 2
    said = [record.data for record in read(shop.archive, signal="audit")]
    switched = [each["attributes"] for each in said if each["event"] == "remediation.switched"]
    assert [(each["actor"], each["result"]) for each in switched] == [
        ("ann", "stopped"),
        ("ann", "resumed"),
    ]


def test_it_stops_with_a_file_that_does_not_hold(shop: Shop) -> None:
    """By the switch of the ledger; status 3, as services may look at another one."""
    shop.playbooks.write_text("playbooks: [")
    result = run(shop, "playbooks", "stop", *BY_ANN)

    assert (result.exit_code, Path(f"{shop.db}.stop").exists()) == (3, True)
    assert result.stderr.startswith(f"{shop.playbooks}:")


def test_it_stops_without_a_ledger(shop: Shop) -> None:
    """The file of playbooks names the stop file; only the audit lacks it."""
    stop_file = shop.db.parent / "stop"
    shop.playbooks.write_text(f"stop_file: {stop_file}\n{shop.playbooks.read_text()}")
    result = run(shop, "playbooks", "stop", *BY_ANN, OTEL_PYTHON_METRICS_REMEDIATION_DB=None)

    assert (result.exit_code, stop_file.exists()) == (3, True)
    assert result.stderr == "--remediation-db: is not there, so that the audit is not told\n"


def test_it_stops_with_a_ledger_that_is_damaged(shop: Shop) -> None:
    """What cannot be told to the audit is stopped all the same."""
    shop.db.write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    result = run(shop, "playbooks", "stop", *BY_ANN)

    assert Path(f"{shop.db}.stop").exists()
    assert "true" in result.stdout


def test_what_cannot_be_told_is_not_resumed(shop: Shop) -> None:
    """Nobody could see who did it."""
    run(shop, "playbooks", "stop", *BY_ANN)
    with sqlite3.connect(shop.db) as ledger:
        ledger.execute("DROP TABLE outbox")
    ledger.close()
    result = run(shop, "playbooks", "resume", *BY_ANN)

    assert (result.exit_code, Path(f"{shop.db}.stop").exists()) == (1, True)
    assert result.stderr.startswith("the audit cannot be told, so nothing was changed: ")


def test_a_variable_that_holds_the_switch_is_told(shop: Shop) -> None:
    """Removing the file is then not enough."""
    run(shop, "playbooks", "stop", *BY_ANN)
    result = run(shop, "playbooks", "resume", *BY_ANN, OTEL_PYTHON_METRICS_REMEDIATION_STOP="true")

    assert result.exit_code == 3
    assert "OTEL_PYTHON_METRICS_REMEDIATION_STOP is true" in result.stdout


def test_without_any_file_it_is_wrong_use(shop: Shop) -> None:
    """Nothing names what to make."""
    result = run(
        shop,
        "playbooks",
        "stop",
        *BY_ANN,
        OTEL_PYTHON_METRICS_PLAYBOOKS=None,
        OTEL_PYTHON_METRICS_REMEDIATION_DB=None,
    )

    assert (result.exit_code, result.stderr) == (
        2,
        "--playbooks: is not given, nor --remediation-db; one of them names the stop file\n",
    )


def test_a_list_says_that_nothing_runs(shop: Shop) -> None:
    """And who said so."""
    run(shop, "playbooks", "stop", *BY_ANN)

    assert run(shop, "playbooks", "list").stderr == (
        f"nothing runs: {shop.db}.stop exists: ann: the fleet moves\n"
    )
    assert rows(shop, "playbooks", "stop", *BY_ANN)[0]["stopped"] is True

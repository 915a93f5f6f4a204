"""What was done to the entries of remediation shows, also where each segment holds."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.remediation_audit import RemediationAudit
from otel_metrics.archive.verify import verify
from otel_metrics.cli.archive.verify import verify as verify_command
from otel_metrics.remediation.audit import FIRST_HASH, LEDGER, Entry, sealed

KEY = SealKey(bytes(range(32)))
Write = Callable[[Sequence[Entry]], Path]


def chain(ledger: str, count: int) -> list[Entry]:
    """Return the entries of a ledger."""
    made: list[Entry] = []
    for number in range(1, count + 1):
        before = str(made[-1]["entry_hash"]) if made else FIRST_HASH
        made.append(sealed({LEDGER: ledger, "actor": "ann"}, number, before))
    return made


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Return what writes entries, each in whole segments that are sealed and signed."""

    def write(entries: Sequence[Entry]) -> Path:
        path = tmp_path / "telemetry"
        audit = RemediationAudit(Settings(path=str(path)), key=KEY, service="shop")
        for entry in entries:
            audit.say("remediation.intent", entry)
        audit.close()
        return path

    return write


def test_two_ledgers_in_one_archive_hold(written: Write) -> None:
    """Each is a chain of its own, however their lines are mixed; a line may stand there twice."""
    one, two = chain("one", 3), chain("two", 2)
    report = verify(written([one[0], two[0], one[1], one[1], two[1], one[2]]), keys=[KEY])

    assert (report.intact, report.complete) == (True, True)


@pytest.mark.parametrize(
    ("change", "verdict", "message"),
    [
        (
            lambda said: [said[0], {**said[1], "actor": "bob"}, said[2]],
            "integrity",
            "ledger one: entry 2: its hash is not that of its fields",
        ),
        (
            lambda said: [said[0], said[2]],
            "completeness",
            "ledger one: entries 2 to 2 are missing",
        ),
        (
            lambda said: [*said, sealed({LEDGER: "one"}, 3, str(said[1]["entry_hash"]))],
            "integrity",
            "ledger one: entry 3: there are two of them",
        ),
    ],
    ids=["changed", "left out", "two"],
)
def test_what_was_done_to_an_entry_is_status_1_and_names_it(
    written: Write,
    change: Callable[[list[Entry]], list[Entry]],
    verdict: str,
    message: str,
) -> None:
    """By its number, its ledger, and the line where it shows."""
    path = written(change(chain("one", 3)))
    found = [each for each in verify(path, keys=[KEY]).problems if each.kind == "entries"]
    result = CliRunner().invoke(verify_command, ["--archive", str(path)])

    assert (found[0].verdict, found[0].line > 1) == (verdict, True)
    assert found[0].message == f"the audit of remediation: {message}"
    assert result.exit_code == 1
    assert f"the audit of remediation: {message}" in result.output

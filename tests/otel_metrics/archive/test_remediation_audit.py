"""The audit of remediation in an archive: what was said is read back, sealed and in order."""

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.sealkey import new_key_text, read_key
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.remediation_audit import RemediationAudit, entries


class _Hanging(RealFs):
    """A disk that syncs nothing while `works` is not set."""

    def __init__(self) -> None:
        self.works = threading.Event()
        self.works.set()

    def sync(self, descriptor: int) -> None:
        """Wait until it works."""
        self.works.wait(30.0)
        super().sync(descriptor)


def key_file(folder: Path) -> Path:
    file = folder / "key"
    file.touch(mode=0o600)
    file.write_text(new_key_text())
    return file


def audit_at(folder: Path, service: str = "shop") -> RemediationAudit:
    settings = Settings(path=str(folder / "telemetry"))
    return RemediationAudit(settings, key=read_key(key_file(folder)), service=service)


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[RemediationAudit]:
    """An audit that is closed when the test ends."""
    audit = audit_at(tmp_path)
    yield audit
    audit.close()


def test_what_was_said_is_read_while_it_is_written(audit: RemediationAudit, tmp_path: Path) -> None:
    """Each line is in the archive when `say` returns."""
    audit.say("remediation.intent", {"sequence": 1, "actor": "ann"})

    assert [*audit.entries()] == [{"sequence": 1, "actor": "ann"}]
    assert [*entries(tmp_path / "telemetry")] == [
        ("remediation.intent", {"sequence": 1, "actor": "ann"})
    ]


def test_what_others_say_is_not_of_it(audit: RemediationAudit, tmp_path: Path) -> None:
    """The audit of an archive also says which segments were removed, and other services' runs."""
    log = AuditLog(Settings(path=str(tmp_path / "telemetry")))
    log.say("archive.segment.removed", {"sequence": 1}, service="shop")
    log.say("remediation.intent", {"sequence": 7}, service="desk")
    audit.say("remediation.intent", {"sequence": 1})

    assert [*audit.entries()] == [{"sequence": 1}]
    assert len([*entries(tmp_path / "telemetry")]) == 2
    log.close()


def test_without_an_archive_nothing_was_said(tmp_path: Path) -> None:
    """A ledger that is new has no audit yet."""
    assert [*audit_at(tmp_path).entries()] == []


def test_what_is_not_on_the_disk_raises(audit: RemediationAudit, tmp_path: Path) -> None:
    """So that nothing is done that nobody could read of."""
    (tmp_path / "telemetry").write_text("no folder")
    with pytest.raises(OSError, match="the audit could not be written"):
        audit.say("remediation.intent", {"sequence": 1})


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
_fields = st.dictionaries(_texts, _texts | st.integers(-(2**63), 2**63 - 1), max_size=6)


def test_a_disk_that_hangs_is_left_when_the_time_is_over(tmp_path: Path) -> None:
    """Sealing takes no more of an exit's time than it may; what was said is in the archive."""
    disk = _Hanging()
    log = AuditLog(Settings(path=str(tmp_path / "telemetry")), fs=disk)
    log.say("remediation.intent", {"sequence": 1}, service="shop")
    disk.works.clear()
    begun = time.monotonic()
    log.close(0.2)
    elapsed_s = time.monotonic() - begun
    disk.works.set()

    assert elapsed_s < 3.0
    assert len([*entries(tmp_path / "telemetry")]) == 1


@given(st.lists(_fields, max_size=5))
@settings(max_examples=30)
def test_any_fields_come_back(said: list[Mapping[str, str | int]]) -> None:
    """The hashes of the chain are of these, so every character counts."""
    with tempfile.TemporaryDirectory() as folder:
        audit = audit_at(Path(folder))
        for fields in said:
            audit.say("remediation.result", fields)
        found = [*audit.entries()]
        audit.close()

    assert found == said

"""`otel-metrics archive prune`, over archives that the exporters wrote."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_exporter_ndjson import NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.audit import read_audit
from otel_metrics.cli.archive import archive


def run(*arguments: object) -> Result:
    return CliRunner().invoke(archive, ["prune", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with three sealed segments of service `shop` and one of `bank`."""
    path = tmp_path / "telemetry"
    for service in ("shop", "shop", "shop", "bank"):
        exporter = NdjsonMetricExporter(path, compression="none")
        provider = MeterProvider(
            [PeriodicExportingMetricReader(exporter)], Resource({"service.name": service})
        )
        provider.get_meter("tests").create_counter("orders").add(1)
        provider.shutdown()
    return path


def test_nothing_goes_without_yes(folder: Path) -> None:
    """What would go is listed; all of it is still there, and there is no audit."""
    result = run("--archive", folder, "--bytes", "1", "--format", "json")

    assert result.exit_code == 0
    assert len(json.loads(result.stdout)) == 4
    assert "4 segments would be removed; --yes removes them" in result.stderr
    assert len(find_segments(folder)) == 4


def test_what_is_beyond_the_size_goes(folder: Path) -> None:
    """Of one service only; the audit names each segment, the reason and who it was."""
    result = run("--archive", folder, "--bytes", "1", "--service", "shop", "--yes")

    assert result.exit_code == 0
    assert [segment.service for segment in find_segments(folder, signal="metrics")] == ["bank"]
    said = list(read_audit(folder))
    assert [(each.service, each.reason) for each in said] == [("shop", "retention_bytes")] * 3
    assert all("uid " in each.actor for each in said)


def test_a_limit_is_needed(folder: Path) -> None:
    """Without any, and with one that is none, the status is 2 and the remedy is told."""
    assert run("--archive", folder).exit_code == 2
    assert "use --age or --bytes" in run("--archive", folder).stderr
    wrong = run("--archive", folder, "--age", "30 parsecs")
    assert (wrong.exit_code, "such as 2s or 30d" in wrong.stderr) == (2, True)


def test_an_age_needs_a_unit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody means three milliseconds; the variable counts in them, as for the service."""
    result = run("--archive", folder, "--age", "3", "--yes")
    assert (result.exit_code, "--age=3: has no unit; give 30d" in result.stderr) == (2, True)
    assert len(find_segments(folder)) == 4

    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_RETENTION_AGE", "99999999999")
    result = run("--archive", folder)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no sealed segment is beyond the limits" in result.stderr


def test_a_service_that_is_not_there_is_told(folder: Path) -> None:
    """Status 1, with what was meant."""
    result = run("--archive", folder, "--bytes", "1", "--service", "shopp", "--yes")

    assert (result.exit_code, "did you mean shop?" in result.stderr) == (1, True)


def test_the_variables_are_the_defaults(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits that the service has hold here too."""
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_RETENTION_BYTES", "1")

    assert "4 segments would be removed" in run("--archive", folder).stderr


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    """A folder without an archive is status 1, one that is not there 2."""
    assert run("--archive", tmp_path, "--bytes", "1").exit_code == 1
    assert run("--archive", tmp_path / "none", "--bytes", "1").exit_code == 2


def test_an_unsafe_key_removes_nothing(folder: Path, tmp_path: Path) -> None:
    """A key that others can read is refused before anything is done."""
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o644)
    result = run("--archive", folder, "--bytes", "1", "--yes", "--key-file", key)

    assert (result.exit_code, "chmod it to 0600" in result.stderr) == (2, True)
    assert len(find_segments(folder)) == 4

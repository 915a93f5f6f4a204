"""What a real OpenTelemetry Collector makes of an archive: nothing less, nothing else."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_metrics.cli.archive import archive
from tests.otel_metrics.archive.everything import of_archive, of_lines, record_everything
from tests.otel_metrics.cli.archive.conftest import MakeRealCollector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with each kind of point and event, exemplars and numbers that JSON has not."""
    record_everything(tmp_path / "a")
    return tmp_path / "a"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_collector_receives_what_was_exported(
    folder: Path, real_collector: MakeRealCollector, protocol: str
) -> None:
    """Each record once, with ids, exemplars, resource and scope."""
    collector = real_collector()
    endpoint = f"http://{collector.grpc if protocol == 'grpc' else collector.http}"
    # The port is no standard one, so HTTP has to be asked for.
    words = ["--protocol", "http/protobuf"] if protocol == "http" else []

    result = CliRunner().invoke(
        archive, ["replay", "--archive", str(folder), "--endpoint", endpoint, *words]
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert of_lines(collector.lines()) == of_archive(folder)


def test_a_collector_reads_an_exported_file(
    folder: Path, real_collector: MakeRealCollector, tmp_path: Path
) -> None:
    """Its file receiver finds every record of both signals in the one file."""
    file = tmp_path / "exported.json"
    result = CliRunner().invoke(
        archive,
        ["export", "--archive", str(folder), "--format", "otlp-json", "--out", str(file)],
    )
    assert (result.exit_code, result.stderr) == (0, "")

    collector = real_collector(read=file)
    expected = of_archive(folder)
    collector.wait_for(expected.total())

    assert of_lines(collector.lines()) == expected

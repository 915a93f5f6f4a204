"""The page on the archive: its reader reads real archives, its commands run, its links lead on."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_exporter_ndjson.sealkey import new_key_text
from otel_metrics.cli.main import root
from tests.docs.links import broken

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/archive.md").read_text()
GOLDEN = REPOSITORY / "tests/golden/format-1"
(READER,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ (otel-metrics .*)$", PAGE, re.MULTILINE)
SOUND = ("chain", "every-event", "every-point", "pruned", "recovered", "signed")


@pytest.fixture(autouse=True)
def _zstd(component: Callable[[str], str]) -> None:
    """The page's reader calls the zstd tool."""
    component("zstd")


def read_with_the_page(archive: Path) -> subprocess.CompletedProcess[str]:
    """Run the page's reader over an archive, by an interpreter that has none of our packages."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", READER, str(archive)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed archive of a service that has ended, with a key beside it."""
    key = tmp_path / "seal.key"
    key.write_text(new_key_text())
    key.chmod(0o600)
    path = tmp_path / "telemetry"
    code = (
        "import otel_metrics\n"
        "from otel_metrics import skills\n"
        "telemetry = otel_metrics.configure()\n"
        "for n in range(5):\n"
        "    with skills.execution('triage', agent='support') as run:\n"
        "        run.outcome(n, expected=4)\n"
        "assert telemetry.flush(timeout=5).ok\n"
    )
    environ = {
        **os.environ,
        "OTEL_EXPORTER_NDJSON_PATH": str(path),
        "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE": str(key),
        "OTEL_METRICS_EXPORTER": "ndjson",
        "OTEL_SERVICE_NAME": "shop",
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environ, timeout=60)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "service").mkdir()
    monkeypatch.chdir(tmp_path / "service")
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_PATH", str(path))
    (tmp_path / "service/seal.key").write_bytes(key.read_bytes())
    (tmp_path / "service/seal.key").chmod(0o600)
    return path


@pytest.mark.slow
def test_the_reader_reads_what_a_service_wrote(archive: Path) -> None:
    """The standard library and zstd are enough; every record is counted."""
    listed = CliRunner().invoke(root, ["archive", "ls", "--format", "json"])
    records = sum(segment["records"] for segment in json.loads(listed.stdout))

    done = read_with_the_page(archive)

    assert (done.stdout, done.stderr) == (f"{records} records\n", "")
    assert records > 10


@pytest.mark.parametrize("name", SOUND)
def test_the_reader_reads_golden_archives(name: str) -> None:
    """It finds as many records as reading them must give, and no fault."""
    expected = json.loads((GOLDEN / name / "expected.json").read_text())

    done = read_with_the_page(GOLDEN / name / "archive")

    assert (done.stdout, done.stderr) == (f"{len(expected['records'])} records\n", "")


@pytest.mark.slow
def test_the_reader_sees_one_changed_byte(archive: Path) -> None:
    """A record that was edited does not fit the hash behind it."""
    (segment,) = archive.glob("events/*/*/*.ndjson")
    segment.write_bytes(segment.read_bytes().replace(b'"correct":true', b'"correct":1111'))

    assert "does not hold" in read_with_the_page(archive).stderr


@pytest.mark.slow
def test_every_command_of_the_page_runs(archive: Path) -> None:
    """As it stands; a replay says that nobody listens."""
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        done = CliRunner().invoke(root, shlex.split(command)[1:])
        wanted = 1 if " replay " in command else 0
        assert done.exit_code == wanted, f"{command}: {done.output} {done.exception}"


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it and a heading there."""
    assert broken(PAGE) == []

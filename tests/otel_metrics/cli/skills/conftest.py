"""A folder of skill files, an archive beside it, and the command that is run on both."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from otel_metrics.cli.main import root
from tests.otel_metrics.cli.skills.past import Past

Run = Callable[..., Result]

THRESHOLDS = "defaults: {positive_decisions: [approve], critical_decisions: [block]}\n"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the machine's variables and folder not matter."""
    for name in ("OTEL_PYTHON_METRICS_SKILLS_DIR", "OTEL_EXPORTER_NDJSON_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of skill files, with thresholds that say which decisions count."""
    path = tmp_path / "skills"
    path.mkdir()
    (path / "thresholds.yaml").write_text(THRESHOLDS)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where an archive is made once it is named."""
    return tmp_path / "archive"


@pytest.fixture
def skills(folder: Path, archive: Path) -> Run:
    """Run a command on both."""

    def run(command: str, *arguments: str) -> Result:
        both = ["--skills-dir", str(folder), "--archive", str(archive)]
        return CliRunner().invoke(root, ["skills", command, *arguments, *both])

    return run


@pytest.fixture
def ready(folder: Path) -> Past:
    """A prototype that meets every gate, those to production too."""
    past = Past(folder, "triage")
    past.runs(100)
    past.outcomes(100, wrong=4)
    past.fidelities(100)
    return past

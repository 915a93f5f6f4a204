"""The page on service telemetry: its file holds, its program runs, its tables are complete."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from otel_metrics.cli.catalog import catalog
from otel_metrics.service.readings import ErrorType
from tests.docs.links import DOCS, broken

PAGE = (DOCS / "service.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it."""
    assert broken(PAGE) == []


def test_the_catalog_file_of_the_page_holds(tmp_path: Path) -> None:
    """As `catalog check` says."""
    (text,) = blocks("yaml")
    (tmp_path / "shop.yaml").write_text(text)
    checked = CliRunner().invoke(catalog, ["check", "shop.yaml"])

    assert checked.exit_code == 0, checked.output


def test_every_error_is_explained() -> None:
    """Each `error.type`, and no other."""
    table = PAGE[PAGE.index("| `error.type` |") :]
    explained = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert sorted(explained) == sorted(get_args(ErrorType))


@pytest.mark.slow
def test_the_program_of_the_page_registers_a_source(tmp_path: Path) -> None:
    """Whose values are archived when the service samples."""
    (program,) = blocks("python")
    service = f"""
import pathlib, time
import otel_metrics
telemetry = otel_metrics.configure(service_name="shop", metrics_exporter=["ndjson"])
{program}
def is_archived():
    return any(b"checkout" in path.read_bytes() for path in pathlib.Path().rglob("*.ndjson"))

ends = time.monotonic() + 30
while not is_archived() and time.monotonic() < ends:
    time.sleep(0.05)
telemetry.shutdown()
"""
    done = subprocess.run(
        [sys.executable, "-c", service],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    events = "".join(path.read_text() for path in tmp_path.glob("telemetry/events/**/*.ndjson"))
    assert '"id":"checkout"' in events

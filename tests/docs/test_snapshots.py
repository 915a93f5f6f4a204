"""The page on snapshots: its record is what is emitted, its query and its code run."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from otel_metrics.service.store import ServiceStore
from tests.docs.links import DOCS, broken
from tests.otel_metrics.service.kept import Kept

PAGE = (DOCS / "snapshots.md").read_text()


def block(language: str) -> str:
    """Return the page's one code block of a language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """What the page tells of: a host that gets busy, and whose window is over."""
    store = ServiceStore(tmp_path / "service.db")
    made = Kept(store)
    made.take(60.0, 90.0, 90.0, 90.0, 95.0)
    made.pass_(180.0)
    store.close()
    return made


def test_the_record_of_the_page_is_the_one_that_is_emitted(kept: Kept) -> None:
    """In its order, too."""
    assert json.dumps(kept.snapshots()) == json.dumps([json.loads(block("json"))])


def test_the_query_of_the_page_finds_it(kept: Kept, tmp_path: Path) -> None:
    """In the file, by any program."""
    with closing(sqlite3.connect(tmp_path / "service.db")) as connection:
        found = connection.execute(block("sql")).fetchall()

    assert found == [("2027-01-15T08:05:00Z", "host-1", 85.0, "critical")]


@pytest.mark.slow
def test_the_code_of_the_page_runs(tmp_path: Path) -> None:
    """And has the routes that the page lists."""
    paths = "\nprint(*(route.path for route in app.routes if route.path.startswith('/api/')))"
    done = subprocess.run(
        [sys.executable, "-c", block("python") + paths],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    listed = re.findall(r"^\| `GET (\S+)`", PAGE, re.MULTILINE)
    assert (done.stdout.split(), done.returncode) == (listed, 0)


def test_every_link_leads_somewhere() -> None:
    """To a file, and to a heading of it."""
    assert broken(PAGE) == []

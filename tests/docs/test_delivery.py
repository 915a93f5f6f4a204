"""The page on delivery: its program runs, its links lead on."""

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.links import DOCS, broken

PAGE = (DOCS / "delivery.md").read_text()


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    """With no collector there it says so, and why."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0
    assert done.stdout.startswith("failed UNAVAILABLE")


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it."""
    assert broken(PAGE) == []

"""A place for a database of notes."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database is to be, in a folder that is not there yet."""
    return tmp_path / "data" / "notes.db"

"""Archives that earlier versions wrote are read for ever as they were then."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
ARCHIVES = sorted(path.parent for path in HERE.glob("*/*/expected.json"))


def reading() -> ModuleType:
    """Load the module beside this file; the folder of tests is no package."""
    spec = importlib.util.spec_from_file_location("golden_reading", HERE / "reading.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_golden_archives() -> None:
    """The first set has eighteen; nobody takes one away."""
    assert len([path for path in ARCHIVES if path.parent.name == "format-1"]) == 18


@pytest.mark.parametrize("folder", ARCHIVES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_golden_archive_is_read_as_it_was(folder: Path) -> None:
    """The same records, decoded to the same values, the same states and findings."""
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="ascii"))
    found = reading().seen(folder / "archive")

    assert {key: expected[key] for key in found} == json.loads(json.dumps(found))

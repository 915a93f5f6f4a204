"""Each pain of the comparison hurts with the plain SDK, and does not with otel-metrics."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.compare import __main__ as compare
from tests.compare.pain import Figure, Pain
from tests.compare.rows import BESIDE, ROWS
from tests.compare.table import HEADINGS, table

README = Path(__file__).parents[2] / "README.md"

HURTS = Figure("540 of 140", hurts=True)
RIGHT = Figure("140 of 140", hurts=False)

each_pain = pytest.mark.parametrize(
    "pain", [pytest.param(pain, id=pain.title) for pain in (*ROWS, *BESIDE)]
)


@pytest.mark.slow
@each_pain
def test_the_plain_sdk_suffers(pain: Pain[Any]) -> None:
    """The pain is real; one that this SDK no longer has is reported, and fails nothing."""
    figure = pain.suffered(pain.plain)

    if not figure.hurts:
        pytest.skip(f"fixed upstream: {figure.shown}")


@pytest.mark.slow
@each_pain
def test_otel_metrics_does_not(pain: Pain[Any]) -> None:
    """The same program with otel-metrics is free of the pain."""
    figure = pain.suffered(pain.ours)

    assert not figure.hurts, figure.shown


@each_pain
def test_the_plain_program_is_plain(pain: Pain[Any]) -> None:
    """It uses nothing of ours, and the other one does."""
    assert not re.search("otel_metrics|otel_exporter", pain.plain)
    assert "otel_metrics" in pain.ours


def test_a_table_says_what_is_fixed_and_what_is_broken() -> None:
    """A pain that the SDK has lost reads as fixed, one that we have as broken."""
    shown = table([("Fork", HURTS, RIGHT), ("Replicas", RIGHT, HURTS)])

    assert shown == (
        "| pain     | plain SDK                   | otel-metrics        |\n"
        "| -------- | --------------------------- | ------------------- |\n"
        "| Fork     | 540 of 140                  | 140 of 140          |\n"
        "| Replicas | 140 of 140 (fixed upstream) | 540 of 140 (BROKEN) |"
    )


@pytest.mark.parametrize(
    ("plain", "ours", "status"), [(HURTS, RIGHT, 0), (RIGHT, RIGHT, 0), (HURTS, HURTS, 1)]
)
def test_only_a_pain_of_ours_fails(plain: Figure, ours: Figure, status: int) -> None:
    """`make compare` ends with 1 when otel-metrics suffers, whatever the SDK does."""
    assert compare.status([("Fork", plain, ours)]) == status


def test_the_readme_shows_these_rows() -> None:
    """The README's table has the headings and the rows of `make compare`, in its order."""
    lines = re.findall(r"^\| (.+?) *\| (.+?) *\| (.+?) *\|$", README.read_text(), re.MULTILINE)
    titles = [pain.title for pain in ROWS]
    shown = [title for title, _, _ in lines if title in titles]

    assert shown == titles
    assert f"| {HEADINGS[1]} " in README.read_text()

"""The page on promotion names what there is, and its code runs as it stands."""

import dataclasses
import re
from pathlib import Path

import pytest

from otel_metrics.skills.gates import gates
from otel_metrics.skills.readings import History
from otel_metrics.skills.threshold_files import load
from otel_metrics.skills.thresholds import Production, Rollback, Staged, Thresholds
from otel_metrics.skills.triggers import TRIGGERS
from otel_metrics.testing import Captured
from tests.docs.links import DOCS, broken

PAGE = (DOCS / "promotion.md").read_text()


def block(language: str) -> str:
    """Return the page's code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_program_runs(captured_telemetry: Captured) -> None:
    """As it stands, and rolls the skill back for the reason that the page explains."""
    exec(compile(block("python"), "promotion.md", "exec"), {})

    event = captured_telemetry.event("skill.rollback").attributes
    assert (event["trigger_reason"], event["trigger_metric"]) == ("pattern_fidelity_drop", 0.8)


def test_the_thresholds_file_is_the_defaults(tmp_path: Path) -> None:
    """Down to the last key, but for the decisions that only a skill's owner knows."""
    path = tmp_path / "thresholds.yaml"
    path.write_text(block("yaml"))

    found = load(path)
    assert found.defaults == Thresholds(positive_decisions=("approve",), critical_decisions=())
    assert found.of("YouTube Live Chat").staged == Staged(fidelity_min=0.95)


@pytest.mark.parametrize("part", [Staged, Production, Rollback])
def test_every_threshold_is_named(part: type) -> None:
    """In the file that shows them."""
    keys = [field.name for field in dataclasses.fields(part)]

    assert [key for key in keys if f"    {key}:" not in block("yaml")] == []


def test_every_gate_and_every_trigger_is_named() -> None:
    """By the name that records and machines have."""
    names = [
        *(each.name for each in gates(History(), Thresholds(), to_state="staged", now=0)),
        *(each.name for each in gates(History(), Thresholds(), to_state="production", now=0)),
        *TRIGGERS,
    ]

    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_link_leads_somewhere() -> None:
    """To a file beside the page, or a heading of it."""
    assert broken(PAGE) == []

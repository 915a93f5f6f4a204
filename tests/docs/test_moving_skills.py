"""The page on moving skill files: its code runs as it stands, and its words are the code's."""

import re
from pathlib import Path

import pytest

from otel_metrics.skills import MetricsAppender
from otel_metrics.skills.file_names import NAME_BYTES_MAX
from otel_metrics.testing import capture

PAGE = (Path(__file__).parents[2] / "docs" / "moving" / "skills.md").read_text()
FILES = PAGE.partition("## Skill files")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```python\n(.*?)```", FILES, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n", 1)[0][:40])
def test_each_block_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, and records what it says."""
    with capture() as seen:
        exec(compile(block, "skills.md", "exec"), {})

    assert (seen.value("skill.outcomes"), seen.value("skill.promotions")) == (1, 1)
    assert capsys.readouterr().out.endswith("Z approve True\n")


def test_each_method_is_named() -> None:
    """Nothing that a service calls is missing from the table."""
    methods = [name for name in vars(MetricsAppender) if name.startswith(("append_", "read_"))]

    assert methods
    assert [name for name in methods if name not in FILES] == []


def test_the_fields_stand_in_the_order_of_the_records(tmp_path: Path) -> None:
    """As a file has them."""
    appender = MetricsAppender(tmp_path)
    appender.append_promotion_event("s", "prototype", "staged", "a", "t", "r", {})
    (record,) = appender.read_metrics("s_promotion_log.json")

    assert ", ".join(f"`{field}`" for field in record) + " (`promotion`)" in FILES


def test_the_longest_name_is_the_one_there_is_room_for() -> None:
    """The figure on the page is the code's."""
    assert f"longer than {NAME_BYTES_MAX} bytes" in FILES

"""Rows in every form of `--format`: the same content, whatever is in a cell."""

import csv
import io
import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.cli.formats import FORMATS, formatted

cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=12)
rows = st.lists(st.fixed_dictionaries({"name": cells, "value": st.integers()}), min_size=1)


@given(rows)
def test_any_cell_survives_json_yaml_and_csv(rows: list[dict[str, object]]) -> None:
    """No quote, colon, comma or emoji in a name breaks what a tool reads."""
    as_csv = io.StringIO(formatted(rows, "csv", columns=()))

    assert json.loads(formatted(rows, "json", columns=())) == rows
    assert yaml.safe_load(formatted(rows, "yaml", columns=())) == rows
    assert [{**row, "value": int(row["value"])} for row in csv.DictReader(as_csv)] == rows


def test_a_table_has_its_columns_in_line() -> None:
    """People read down a column."""
    rows: list[dict[str, object]] = [{"a": "long name", "b": 1}, {"a": "x", "b": None}]

    assert formatted(rows, "table", columns=("a", "b")) == "A          B\nlong name  1\nx"


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    """Markdown escapes what would open another column."""
    assert formatted([{"a": "x|y"}], "markdown", columns=()) == "| a |\n|---|\n| x\\|y |"


@pytest.mark.parametrize(
    ("form", "text"),
    [("table", "A"), ("json", "[]"), ("csv", ""), ("markdown", ""), ("yaml", "[]")],
)
def test_nothing_to_show_is_no_error(form: str, text: str) -> None:
    """An empty answer is still an answer in its form."""
    assert form in FORMATS
    assert formatted([], form, columns=("a",)) == text


@pytest.mark.parametrize("form", ["table", "csv", "markdown"])
def test_truth_is_written_as_other_tools_read_it(form: str) -> None:
    """As in JSON, not as Python's words; inside a list too."""
    text = formatted([{"a": True, "b": False, "c": [True]}], form, columns=("a", "b", "c"))

    assert "True" not in text and "False" not in text
    assert re.findall("true|false", text) == ["true", "false", "true"]

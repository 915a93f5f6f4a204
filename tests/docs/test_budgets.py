"""The page on budgets: its programs print what it says, its commands too, its links lead on."""

import csv
import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest
from click.testing import CliRunner

from otel_metrics import budgets
from otel_metrics.cli.main import root
from tests.docs.links import DOCS, broken

PAGE = (DOCS / "budgets.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def _none_in_use() -> Iterator[None]:
    """Leave no ledger of a program's in use."""
    yield
    budgets.use(None)


def run(program: str) -> str:
    """Return what a program prints."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(program, "budgets.md", "exec"), {})
    return printed.getvalue()


@pytest.mark.parametrize(("program", "printed"), PROGRAMS, ids=range(len(PROGRAMS)))
def test_each_program_prints_what_the_page_says(program: str, printed: str) -> None:
    """As it stands, with a new ledger."""
    assert run(program) == printed


def test_the_commands_print_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the program on spending; but for the time at which a budget starts anew."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_BUDGETS_DB", "budgets.db")
    run(next(program for program, _ in PROGRAMS if "Decimal" in program))
    (console,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)

    for command, expected in re.findall(r"^\$ otel-metrics (.*)\n((?:[^$].*\n)*)", console, re.M):
        done = CliRunner().invoke(root, shlex.split(command))
        assert _timeless(done.output) == _timeless(expected)


def _timeless(output: str) -> list[list[str]]:
    """Return the cells of output, without times."""
    rows = csv.reader(io.StringIO(output))
    return [[cell for cell in row if not re.match(r"\d{4}-\d\d-\d\dT", cell)] for row in rows]


def test_every_public_name_is_on_the_page() -> None:
    """Functions and classes, but for what is plain."""
    plain = {"BudgetError", "Receipt", "Reservation", "Standing", "list", "remaining", "remove"}

    assert [name for name in budgets.__all__ if name not in PAGE and name not in plain] == []


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it."""
    assert broken(PAGE) == []

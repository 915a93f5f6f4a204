"""A path that somebody named and that is not there is wrong use: in every command the same."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from otel_metrics.cli.main import root

GROUPS = ("skills", "sovereignty", "efficiency", "budgets", "executions")
APPROVED = "triage --approver a --ticket T"
CASES = (
    "skills list --archive missing",
    "skills list --skills-dir missing",
    "skills list --skills-dir skills --thresholds missing",
    "skills status --archive missing",
    "skills status --skills-dir missing",
    "skills status --skills-dir skills --thresholds missing",
    f"skills promote {APPROVED} --skills-dir missing",
    f"skills promote {APPROVED} --skills-dir skills --thresholds missing",
    f"skills promote {APPROVED} --skills-dir skills --records archive --archive missing",
    f"skills rollback {APPROVED} --reason r --skills-dir missing",
    f"skills rollback {APPROVED} --reason r --skills-dir skills --thresholds missing",
    f"skills demote {APPROVED} --reason r --skills-dir missing",
    f"skills demote {APPROVED} --reason r --skills-dir skills --thresholds missing",
    "skills import missing",
    "sovereignty report --archive missing",
    "sovereignty report --db missing",
    "sovereignty report --archive missing --out missing/picture.png",
    "sovereignty rebuild --archive missing",
    "efficiency backtest --archive missing",
    "efficiency backtest --archive missing --out missing/picture.png",
    "budgets list --db missing",
    "budgets set a --remove --db missing",
    "executions record a --success --project missing",
    "executions list --project missing",
    "executions show a --project missing",
    "executions export --project missing",
    "executions export --out missing/runs.csv",
    "executions publish --project missing",
    "executions prune --project missing",
)
MADE = {
    ("skills", "rollback", "--archive"),
    ("skills", "demote", "--archive"),
    ("skills", "import", "--archive"),
    ("sovereignty", "rebuild", "--db"),
}
"""What is made where it is not there."""


def options() -> Iterator[tuple[str, str, str]]:
    """Give every option and argument of the groups that takes a path."""
    context = click.Context(root)
    for group in GROUPS:
        commands = root.get_command(context, group)
        assert isinstance(commands, click.Group)
        for name in commands.list_commands(context):
            command = commands.get_command(context, name)
            assert command is not None
            for each in command.params:
                if isinstance(each.type, click.Path):
                    yield group, name, each.opts[0] if isinstance(each, click.Option) else "missing"


@pytest.mark.parametrize("case", CASES)
def test_a_path_that_is_not_there_is_wrong_use(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, one line that names it, and nothing is made in its place."""
    monkeypatch.chdir(tmp_path)
    Path("skills").mkdir()
    Path("skills", "triage_fidelity.json").write_text('{"timestamp": 1, "pattern_fidelity": 1}\n')
    result = CliRunner().invoke(root, case.split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    *_, option, value = case.split()
    assert result.stderr.startswith(f"{option if option.startswith('--') else 'DIR'}={value}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["skills"]


def test_no_option_that_takes_a_path_is_forgotten() -> None:
    """A new one is a case above, or is made where it is missing."""
    known = {(*case.split()[:2], word) for case in CASES for word in case.split()}

    assert [each for each in options() if each not in known | MADE] == []

"""Wrong use of any command: one line that names what was typed, what is wrong and what to do."""

import pytest
from click.testing import CliRunner

from otel_metrics.cli.main import root
from otel_metrics.cli.wrong_use import as_typed

APPROVED = ["--approver", "a", "--ticket", "T"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("nonsense", "otel-metrics nonsense: no such command; there is run, doctor, demo"),
        ("budgets lst", "otel-metrics budgets lst: no such command; did you mean list?"),
        ("--nonsense", "--nonsense: no such option; otel-metrics --help says what there is"),
        ("skills --x", "--x: no such option; otel-metrics skills --help says what there is"),
        ("skills list --formt json", "--formt: no such option; did you mean --format?"),
        ("skills list --xy", "--xy: no such option; otel-metrics skills list --help says what"),
        ("skills status --format", "--format: needs a value"),
        ("executions record a --success=1", "--success: takes no value; leave it out"),
        ("executions record a --time soon", "--time=soon: is no number; give seconds"),
        ("budgets set", "NAME: is missing; otel-metrics budgets set --help says what there is"),
        ("skills demote triage", "--approver: is missing; otel-metrics skills demote --help says"),
        ("budgets list here", "otel-metrics budgets list: got unexpected extra argument (here)"),
        ("budgets list --format jsn", "--format=jsn: is not known; give table, json, csv, markd"),
        ("budgets list --format jsn", "markdown or yaml; did you mean json?"),
        ("skills promote a --to live", "--to=live: is not known; give prototype, staged or prod"),
        ("budgets set a --period weekly", "--period=weekly: is not known; give hour, day or mon"),
        ("sovereignty report --since yesterday", "--since=yesterday: is no time; accepted are"),
        ("efficiency backtest --window 5", "--window=5: has no unit; give 5m or 5s"),
        ("efficiency backtest --window 0s", "--window=0s: must be 0.001 s or more"),
        ("executions prune --older-than soon", "--older-than=soon: is no time; give a number"),
    ],
)
def test_wrong_use_is_one_line(arguments: str, told: str) -> None:
    """On the error stream, with status 2 and nothing else."""
    result = CliRunner().invoke(root, [*arguments.split()], prog_name="otel-metrics")

    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_empty_reason_is_told_under_its_option() -> None:
    """What is given of blanks is nothing."""
    arguments = ["skills", "demote", "triage", *APPROVED, "--reason", " "]
    result = CliRunner().invoke(root, arguments)

    assert result.stderr.startswith("--reason: is empty; ")


def test_a_value_of_a_variable_is_told_under_its_name() -> None:
    """So that who set it finds it."""
    result = CliRunner(env={"DEMO_SECONDS": "soon"}).invoke(root, ["demo"])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("DEMO_SECONDS=soon: is not a valid float")


def test_what_was_typed_drives_no_terminal() -> None:
    """It is shown with its control characters as escapes, in one line."""
    result = CliRunner().invoke(root, ["budgets", "list", "--format", "\x1b[2J\n"])

    assert "\x1b" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_group_without_a_command_shows_its_help() -> None:
    """As it always did."""
    result = CliRunner().invoke(root, ["budgets"])

    assert result.exit_code == 2
    assert "Say how every budget stands." in result.output


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("soft_limit=6: is above", "--soft=6: is above"),
        ("limit: is missing", "limit: is missing"),
        ("no soft_limit=6: is known", "no soft_limit=6: is known"),
    ],
)
def test_a_message_about_an_argument_names_its_option(message: str, told: str) -> None:
    """Where it begins with one of those that options give."""
    assert as_typed(message, {"soft_limit": "--soft"}) == told

"""Arguments of what owns files: what is accepted, and what is told of the rest."""

import doctest
import math
from decimal import Decimal
from pathlib import Path

import pytest

from otel_metrics import arguments


@pytest.mark.parametrize("given", [0, 1, 0.5, 2**53, 1e308])
def test_a_number_is_returned_as_it_was_given(given: float) -> None:
    """An int stays one, in the file as well."""
    taken = arguments.number("x", given)

    assert (taken, type(taken)) == (given, type(given))


def test_what_converts_itself_is_a_number() -> None:
    """It becomes a float."""
    assert arguments.number("x", Decimal("0.5")) == 0.5


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (-1, "x=-1: is below 0; give a number from 0 to 1"),
        (1.5, "x=1.5: is above 1; give a number from 0 to 1"),
        (math.nan, "x=nan: is no finite number; give a number from 0 to 1"),
        ("1", "x='1': is no number; give a number from 0 to 1"),
        (True, "x=True: is no number; give a number from 0 to 1"),
        (None, "x=None: is no number; give a number from 0 to 1"),
        ([1], "x=<list>: is no number; give a number from 0 to 1"),
        pytest.param(
            10**5_000, "x=<int>: does not fit into 64 bits; give a number from 0 to 1", id="huge"
        ),
        ("1" * 500, f"x='{'1' * 79}: is no number; give a number from 0 to 1"),
    ],
)
def test_what_is_no_such_number_is_refused(given: object, told: str) -> None:
    """With the name, what was given, what is wrong with it, and what to give."""
    with pytest.raises(ValueError, match="give") as refused:
        arguments.number("x", given, most=1)

    assert str(refused.value) == told


def test_a_number_that_may_be_missing_may_be_missing() -> None:
    """And is refused as any, where it is there."""
    assert arguments.optional_number("x", None) is None
    assert arguments.optional_number("x", 5) == 5
    with pytest.raises(ValueError, match="x=-1: is below 0"):
        arguments.optional_number("x", -1)


def test_a_folder_is_known_by_its_path_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way it is named; it need not be there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    assert arguments.folder("dir", "~/link/new") == str(tmp_path.resolve() / "real" / "new")


def test_the_examples_are_true() -> None:
    """As they stand in the docstrings."""
    assert doctest.testmod(arguments).failed == 0

"""Any name as that of a file or folder: safe, one each, and back again."""

import os
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import safe_names
from otel_metrics.safe_names import decoded

encoded = partial(safe_names.encoded, setting="agent")

NAMES = [
    *("../../etc/passwd", "a/b", "a\\b", "/etc", ".", "..", ".hidden", "a\nb", "-rf", "dot."),
    *("space ", "CON", "~", "é", "e\u0301", "Reviewer", "reviewer", "\u202ebidi", "$(id)"),
    *("YouTube Live Chat", "100%", "%2E", "a%2Fb", "日本語", "\udc80"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_inside_and_comes_back(name: str) -> None:
    """As one part of a path, that is neither hidden nor the folder above."""
    folder = encoded(name)

    assert os.path.basename(folder) == folder
    assert not folder.startswith(".")
    assert decoded(folder) == name


def test_names_that_are_safe_stay_as_they_are() -> None:
    """People and older readers find them."""
    assert [encoded(name) for name in ("code reviewer", "v1.2_x-y", "日本語")] == [
        "code reviewer",
        "v1.2_x-y",
        "日本語",
    ]


@given(st.text(max_size=60).filter(lambda name: name and "\0" not in name))
def test_no_two_names_share_a_folder(name: str) -> None:
    """A folder's name leads back to the one name that it was made of."""
    assert decoded(encoded(name)) == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "agent='': is empty"),
        ("a\0b", "holds NUL"),
        ("é" * 128, "takes 256 bytes"),
        ("/" * 86, "takes 258 bytes"),
        (None, "agent=NoneType: is no text"),
        (7, "agent=int: is no text"),
    ],
)
def test_what_no_folder_can_be_called_is_refused(name: str, told: str) -> None:
    """With what is wrong."""
    with pytest.raises(ValueError, match=told):
        encoded(name)


@pytest.mark.parametrize("folder", [".index.sqlite", "a%2fb", "a%zz", "a/b", "", "%C3"])
def test_folders_of_others_are_no_agents(folder: str) -> None:
    """Their names are none that are written here."""
    assert decoded(folder) is None

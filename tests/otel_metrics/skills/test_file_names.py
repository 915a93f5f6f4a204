"""Any skill's name is a safe file name, and can be read back from it."""

import os
import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.skills import file_names
from otel_metrics.skills.file_names import ENDINGS, Kind

HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".",
    "..",
    "...",
    ".hidden",
    "-rf",
    "line\nend",
    "trailing.",
    "trailing ",
    " leading",
    "CON",
    "~",
    "~root",
    "$(id)",
    "`id`",
    "*",
    "a%2Fb",
    "%2E%2E",
    "100% right",
    "right\u202eleft",
    "zero\u200bwidth",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "case",
    "Case",
    "_outcomes.json",
    "x_performance.json",
    "\ud800",
    "\udcff",
    "日本語",
    "हिन्दी",
    "é" * 100,
]
RIGHT = {
    "YouTube Live Chat": "YouTube Live Chat_outcomes.json",
    "invoice-triage_2.0": "invoice-triage_2.0_outcomes.json",
    "Größe 日本語": "Größe 日本語_outcomes.json",
    "a/b": "a%2Fb_outcomes.json",
    "a\\b": "a%5Cb_outcomes.json",
    "..": "%2E._outcomes.json",
    "100%": "100%25_outcomes.json",
    "😀": "%F0%9F%98%80_outcomes.json",
}
names = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=19)
"""At most 19 characters of 4 bytes, three letters each: all fit."""


@pytest.mark.parametrize(("skill", "name"), RIGHT.items())
def test_a_name_stays_as_it_is_where_that_is_safe(skill: str, name: str) -> None:
    """Letters of any script, digits, space, dot, underscore and hyphen; the rest is encoded."""
    assert file_names.file_name(skill, "outcome") == name


@pytest.mark.parametrize("skill", HOSTILE, ids=ascii)
@pytest.mark.parametrize("kind", ENDINGS)
def test_a_hostile_name_is_a_file_of_the_folder(skill: str, kind: Kind) -> None:
    """It leaves neither folder nor sight, and comes back from its file's name."""
    name = file_names.file_name(skill, kind)

    assert os.path.dirname(os.path.normpath(os.path.join("/folder", name))) == "/folder"
    assert not name.startswith(".")
    assert name.isprintable()
    assert len(name.encode()) <= 255
    assert file_names.parsed(name) == (skill, kind)


def test_no_two_hostile_names_share_a_file() -> None:
    """Nor do they where a file system takes both Unicode forms for one."""
    files = {unicodedata.normalize("NFC", file_names.encoded(skill)) for skill in HOSTILE}

    assert len(files) == len(HOSTILE)


@given(names)
def test_a_name_comes_back(skill: str) -> None:
    """Whatever it is."""
    assert file_names.decoded(file_names.encoded(skill)) == skill


@given(names, names)
def test_two_names_are_two_files(one: str, other: str) -> None:
    """And one name is one file."""
    assert (file_names.encoded(one) == file_names.encoded(other)) == (one == other)


@pytest.mark.slow
def test_a_hundred_thousand_pairs_are_distinct() -> None:
    """Pairs that differ by little, made of what file names are made of."""
    dice = random.Random(20260301)
    letters = "ab%25EF./\\ _-é\u0301\n"
    pairs = 0
    while pairs < 100_000:
        one = "".join(dice.choices(letters, k=dice.randint(1, 6)))
        at = dice.randrange(len(one))
        other = one[:at] + dice.choice(letters) + one[at + dice.randint(0, 1) :]
        if one != other:
            pairs += 1
            assert file_names.encoded(one) != file_names.encoded(other)


@pytest.mark.parametrize(
    ("skill", "said"),
    [
        ("", "is empty"),
        ("a\0b", "holds NUL"),
        ("x" * 300, "takes 300 bytes"),
        ("é" * 200, "takes 400 bytes"),
        ("/" * 79, "takes 237 bytes"),
        (None, "is no text"),
        (7, "is no text"),
    ],
)
def test_what_no_file_name_can_be_is_refused(skill: str, said: str) -> None:
    """The message says why."""
    with pytest.raises(ValueError, match=f"^skill_name=.*{said}"):
        file_names.file_name(skill, "performance")


@pytest.mark.parametrize("kind", ENDINGS)
def test_the_longest_name_fits_with_every_ending(kind: Kind) -> None:
    """So a skill that runs can be promoted."""
    assert len(file_names.file_name("x" * file_names.NAME_BYTES_MAX, kind)) <= 255


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("YouTube Live Chat_outcomes.json", ("YouTube Live Chat", "outcome")),
        ("a_promotion_log.json", ("a", "promotion")),
        ("100% right_fidelity.json", ("100% right", "fidelity")),
        ("%FF_fidelity.json", ("%FF", "fidelity")),
        ("%2f_fidelity.json", ("%2f", "fidelity")),
        ("_outcomes.json", None),
        ("notes.json", None),
        ("summary_outcomes.jsonl", None),
    ],
)
def test_files_of_older_writers_are_found(name: str, found: tuple[str, Kind] | None) -> None:
    """What `encoded` never writes is taken as it stands."""
    assert file_names.parsed(name) == found

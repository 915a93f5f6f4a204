"""YAML with line numbers: what is read, and what is refused with its line."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import yaml_source
from otel_metrics.yaml_source import Node, YamlSourceError


def parsed(text: str) -> Node:
    return yaml_source.parse(text.encode(), name="f.yaml")


def refused(data: bytes) -> list[str]:
    with pytest.raises(YamlSourceError) as caught:
        yaml_source.parse(data, name="f.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_every_key_and_value_knows_its_line() -> None:
    """A key's line and its value's line are both kept, for they may differ."""
    root = parsed("a: 1\n\nb:\n  - x\n  - c:\n      y\n")

    assert isinstance(root.value, dict)
    items = root.value["b"].value
    assert isinstance(items, tuple)
    inner = items[1]
    assert isinstance(inner.value, dict)
    assert root.lines == {"a": 1, "b": 3}
    assert [item.line for item in items] == [4, 5]
    assert (inner.lines["c"], inner.value["c"].line) == (5, 6)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("true", True),
        ("~", None),
        ("", None),
        ("12", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("'12'", "12"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("{}", {}),
        ("[]", []),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    """No word becomes a boolean or a date behind its writer's back."""
    actual = parsed(text).plain()

    assert (type(actual), actual) == (type(value), value)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            b"a: 1\nb: 2\na: 3\n",
            ":3: the key 'a' is there twice (first on line 1); keep one of both",
        ),
        (
            b"a:\n  b: 1\n  b: 2\n",
            ":3: a: the key 'b' is there twice (first on line 2); keep one of both",
        ),
        (b"a: &x 1\n", ":1: a: the anchor &x; write the value out where it is used"),
        (b"a: 1\nb: *x\n", ":2: b: the alias *x; write the value out"),
        (
            b"a: !!python/object:os.system x\n",
            ":1: a: the tag tag:yaml.org,2002:python/object:os.system; remove it",
        ),
        (b"- a: !own\n    b: 1\n", ":1: [0].a: the tag !own; remove it"),
        (b"a: ! 12\n", ":1: a: the tag !; remove it"),
        (b"1: a\n", ":1: the key 1 is no text; quote it"),
        (b"? [a, b]\n: c\n", ":1: the key of several values is no text; quote it"),
        (b"a: 1\n---\nb: 2\n", ":2: a second document; keep one document a file"),
        (b"a: 1\nb: \x00\n", ":2: the control character '\\x00'; remove it"),
        (b"a: 1\nb: \xff\n", ":2: is not UTF-8; save it as UTF-8"),
        (b"[" * 40 + b"]" * 40, ":1: more than 32 levels; nest less"),
        (b"a" * 1_048_577, ": is larger than 1048576 bytes; split it"),
    ],
)
def test_what_is_refused_is_named_with_its_line(data: bytes, problem: str) -> None:
    """A reader of the message finds the place and knows what to do."""
    assert refused(data) == [f"f.yaml{problem}"]


NO_YAML = [
    (b"a: 1\n\tb: 2\n", 2, "a tab where YAML takes spaces; indent with spaces"),
    (b"a:\n\t- 1\n", 2, "a tab where YAML takes spaces; indent with spaces"),
    (b"a: @x\n", 1, "a value that begins with @; put it in quotation marks"),
    (b"a: b: c\n", 1, "f.yaml:1: a ':' where no key can be; align the key with those above, or "),
    (b"a: 1\n  b: 2\n", 2, "f.yaml:2: a ':' where no key can be; align the key with those"),
    (b"a:\n  b: 1\n  c 2\n  d: 3\n", 3, "f.yaml:3: a: a key without ':'; write KEY: VALUE"),
    (b"a: 1\nb: 'open\nc: 1\n", 2, "a quotation mark that is not closed; close it"),
    (b'a: "\\q"\n', 1, "a backslash that begins no escape; write two, or use single quotation"),
    (b"a: 1\nb: [1, 2\nc: 3\n", 2, "a [ that is not closed, or lacks a comma; close it with ]"),
    (b"a: {b: 1\nc: 3\n", 1, "a { that is not closed, or lacks a comma; close it with }"),
    (b"a:\n  - 1\n b: 2\n", 3, "what is here belongs to no key; align it with the keys above"),
    (b"- a\nb: 1\n", 2, "a line without '-' in a list; begin it with '-', or indent it"),
    (b"a: }\n", 1, "a } where a value is due; put it in quotation marks"),
    (b"a: 1\nb: |x\n c\n", 2, "is no YAML: "),
]


@pytest.mark.parametrize(("data", "line", "said"), NO_YAML)
def test_what_is_no_yaml_is_told_in_words_of_its_writer(data: bytes, line: int, said: str) -> None:
    """In one line, with where to look and what to do; not what a parser was doing."""
    (problem,) = refused(data)

    assert problem.startswith(f"f.yaml:{line}: ")
    assert said in problem
    assert "\n" not in problem and "while " not in problem


@pytest.mark.parametrize(("data", "line", "said"), NO_YAML)
def test_without_libyaml_the_same_is_told(
    data: bytes, line: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every wheel of PyYAML has it."""
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    (problem,) = refused(data)

    assert (problem.startswith(f"f.yaml:{line}: "), said in problem) == (True, True), problem


def test_a_merge_key_is_a_key_like_any_other() -> None:
    """YAML 1.2 has no merging."""
    assert parsed("<<: {a: 1}").plain() == {"<<": {"a": 1}}


def test_all_problems_are_named_at_once() -> None:
    """One run shows everything that has to be changed."""
    assert len(refused(b"a: &x 1\nb: *x\na: 2\n")) == 3


def test_a_flood_of_problems_is_cut_off() -> None:
    """A hostile file costs no more than a hundred messages."""
    assert len(refused(b"- *a\n" * 5_000)) == yaml_source.PROBLEMS_MAX


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_problem(name: str, tmp_path: Path) -> None:
    """A missing file or a folder is reported like everything else."""
    with pytest.raises(YamlSourceError, match="cannot be read"):
        yaml_source.read(tmp_path / name)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """A file saved by an editor on Windows reads like any other."""
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\n")

    assert yaml_source.read(path).plain() == {"a": 1}


# PyYAML writes YAML 1.1, in which 1E5 is text; in YAML 1.2, which is read, it is a number.
texts = st.text().filter(lambda text: re.fullmatch("[-+]?[0-9.]+[eE][-+]?[0-9]+", text) is None)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(trees)
def test_what_a_yaml_library_writes_is_read_back(tree: Any) -> None:
    """Any plain data survives, whatever quoting the writer chose."""

    class NoAlias(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    text = yaml.dump(tree, Dumper=NoAlias)

    assert parsed(text).plain() == tree


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"?,# \n\t0", max_size=60))
def test_no_input_raises_anything_else(data: bytes | str) -> None:
    """Whatever the bytes are, the caller has one error to expect."""
    try:
        yaml_source.parse(data if isinstance(data, bytes) else data.encode(), name="f.yaml")
    except YamlSourceError as error:
        assert error.problems

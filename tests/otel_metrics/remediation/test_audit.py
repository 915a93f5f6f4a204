"""A chain of entries in which no change goes unseen."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.remediation.audit import (
    FIRST_HASH,
    Entry,
    entry_hash,
    entry_of,
    resource_of,
    sealed,
    text_of,
)
from otel_metrics.remediation.chains import faults
from otel_metrics.service.samples import Resource

FIELDS = st.dictionaries(
    st.text(max_size=20), st.text(max_size=40) | st.integers(-(2**63), 2**63 - 1), max_size=8
)


def chain(*bodies: Entry) -> list[dict[str, str | int]]:
    """Return entries in their places."""
    made: list[dict[str, str | int]] = []
    before = FIRST_HASH
    for number, body in enumerate(bodies, 1):
        made.append(sealed(body, number, before))
        before = str(made[-1]["entry_hash"])
    return made


@given(FIELDS, FIELDS)
def test_two_entries_have_one_hash_only_where_they_are_the_same(one: Entry, two: Entry) -> None:
    """Names, values and their types all count."""
    kept = [
        {(name, type(value), value) for name, value in each.items() if name != "entry_hash"}
        for each in (one, two)
    ]

    assert (entry_hash(one) == entry_hash(two)) == (kept[0] == kept[1])


def test_no_two_fields_run_together() -> None:
    """The length before each part tells where it ends."""
    assert entry_hash({"a": "bc"}) != entry_hash({"ab": "c"})
    assert entry_hash({"a": "1"}) != entry_hash({"a": 1})


@given(st.lists(FIELDS, min_size=1, max_size=5), st.data())
def test_a_chain_that_nobody_touched_has_no_fault(bodies: list[Entry], data: Any) -> None:
    """In whatever order it is read, after a way through JSON, and with a line twice."""
    whole = json.loads(json.dumps(chain(*bodies)))
    mixed = data.draw(st.permutations([*whole, whole[0]]))

    assert list(faults(mixed)) == []


@given(st.lists(FIELDS, min_size=2, max_size=5), st.data())
def test_a_change_anywhere_is_seen(bodies: list[Entry], data: Any) -> None:
    """A field that is changed, an entry that is left out before the last, two in one place."""
    whole = chain(*bodies)
    at = data.draw(st.integers(0, len(whole) - 1))
    name = data.draw(st.sampled_from(sorted(whole[at])))
    changed = [dict(each) for each in whole]
    changed[at][name] = f"{whole[at][name]}!"

    assert list(faults(changed)) != []
    if at < len(whole) - 1:
        assert list(faults(whole[:at] + whole[at + 1 :])) != []
    assert list(faults([*whole, sealed({"other": 1}, at + 1, FIRST_HASH)])) != []


def test_faults_are_told_in_words() -> None:
    """By the number of the entry."""
    one, two, three = chain({"a": 1}, {"a": 2}, {"a": 3})

    assert list(faults([one, three])) == ["entries 2 to 2 are missing"]
    assert list(faults([two, three])) == ["entries 1 to 1 are missing"]
    assert list(faults([one, {**two, "a": 9}, three])) == [
        "entry 2: its hash is not that of its fields",
        "entries 2 to 2 are missing",
    ]


@given(st.text(max_size=30))
def test_a_resource_is_read_back(name: str) -> None:
    """Whatever its id holds."""
    assert resource_of(text_of(Resource("host", name))) == Resource("host", name)


def test_what_looks_like_a_secret_is_masked() -> None:
    """In reasons and payloads; keys and ids stay, by which an entry is found."""
    entry = entry_of(
        actor="ann",
        action="executed_playbook_x",
        target=None,
        metric=None,
        result="intended",
        at_us=0,
        payload={"password": "hunter2hunter2"},
        names={"remediation.key": "alert:4111111111111111"},
        more={"reason": "token=abcdef123456", "remediation.exit_code": None},
    )

    assert "hunter2" not in entry["payload"]  # type: ignore[operator]  # text
    assert entry["reason"] == "[redacted]"
    assert entry["remediation.key"] == "alert:4111111111111111"
    assert "remediation.exit_code" not in entry

"""The door for values: what it takes, what it refuses, and that it never raises anything else."""

import datetime
import enum
import math
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import values


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "not_a_number"),
        (None, "not_a_number"),
        ("3", "not_a_number"),
        (object(), "not_a_number"),
        ([1], "not_a_number"),
        (math.nan, "not_finite"),
        (math.inf, "not_finite"),
        (-1, "negative"),
        (2**63, "out_of_range"),
        (10**400, "out_of_range"),
        (1.5, "not_an_integer"),
        (Fraction(1, 2), "not_an_integer"),
    ],
)
def test_a_count_refuses_what_no_exporter_carries(value: object, reason: str) -> None:
    """A counter's value that cannot be exported is refused with its reason."""
    with pytest.raises(values.RejectedValueError) as raised:
        values.number(value, integer=True, negative=False)

    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("value", "integer", "taken"),
    [(3, True, 3), (3.0, True, 3), (3, False, 3.0), (Decimal("2.5"), False, 2.5), (-1, True, -1)],
)
def test_a_number_becomes_what_the_metric_holds(value: object, integer: bool, taken: float) -> None:
    """Numbers of any type become the int or float that the catalog declares."""
    number = values.number(value, integer=integer, negative=True)

    assert (number, type(number)) == (taken, type(taken))


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.binary(), st.decimals()))
def test_a_number_is_taken_or_refused(value: object) -> None:
    """Any value gives a finite 64-bit number or a `RejectedValueError`, nothing else."""
    try:
        number = values.number(value, integer=False, negative=True)
    except values.RejectedValueError:
        return

    assert math.isfinite(number)


def test_a_lone_surrogate_becomes_a_replacement_character() -> None:
    """Text that no encoder takes is mended, and paired surrogates become their character."""
    assert values.text("a\ud800b\ud83d\ude00") == "a\ufffdb\U0001f600"


@given(st.text())
def test_text_that_is_well_formed_is_unchanged(text: str) -> None:
    """Well-formed text below the cap passes as it is."""
    assert values.text(text) == text


def test_a_long_text_is_cut_and_says_so() -> None:
    """Ten million characters become the cap, a marker, the length and a hash."""
    kept = values.text("x" * 10_000_000)

    assert kept.startswith("x" * values.TEXT_CHARS_MAX + "… [cut: 10000000 characters, sha256 ")
    assert len(kept) < values.TEXT_CHARS_MAX + 100


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Order:
    id: uuid.UUID
    price: Decimal


def test_data_is_converted_as_documented() -> None:
    """Each documented type is kept in its documented form."""
    order = Order(uuid.UUID(int=7), Decimal("1.10"))
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    data = {
        "colour": Colour.RED,
        "order": order,
        "at": at,
        "took": datetime.timedelta(seconds=1.5),
        "path": Path("/tmp/x"),
        "raw": b"\x00\xff",
        "set": {1},
        "big": 2**70,
        "error": KeyError("k"),
        7: None,
    }

    assert values.clean(data) == {
        "colour": "red",
        "order": {"id": "00000000-0000-0000-0000-000000000007", "price": "1.10"},
        "at": "2026-01-02T03:04:05+00:00",
        "took": 1.5,
        "path": "/tmp/x",
        "raw": b"\x00\xff",
        "set": [1],
        "big": "1180591620717411303424",
        "error": "KeyError: 'k'",
        "7": None,
    }


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError


def test_a_hostile_object_leaves_a_placeholder() -> None:
    """An object whose every method raises becomes the name of its type, as value and as key."""
    kept = values.clean({"value": Hostile(), Hostile(): 1})

    assert isinstance(kept, dict)
    assert set(kept) == {"value", f"<{__name__}.Hostile>"}


class Wide:
    """An integer of another library: numpy's uint64 is one."""

    def __index__(self) -> int:
        return 2**64 - 1

    def __float__(self) -> float:
        return 2.0**64


def test_an_integer_of_any_type_is_kept_within_64_bits() -> None:
    """What no exporter carries as a number is kept as text; as a value it is refused."""
    assert values.clean([Wide(), 2**64 - 1]) == ["18446744073709551615"] * 2
    assert values.label(2**64 - 1) == "18446744073709551615"
    with pytest.raises(values.RejectedValueError, match="out_of_range"):
        values.number(Wide(), integer=True, negative=False)


def _fail(*_: object) -> None:
    raise RuntimeError


METHODS = (
    *("__bool__", "__eq__", "__float__", "__format__", "__ge__", "__gt__", "__hash__"),
    *("__index__", "__int__", "__iter__", "__le__", "__len__", "__lt__", "__str__"),
)


def _hostile(base: type, value: object) -> object:
    return type("Hostile", (base,), dict.fromkeys(METHODS, _fail))(value)


@pytest.mark.parametrize(("base", "value"), [(str, "staged"), (int, 7)])
def test_a_subclass_with_hostile_methods_is_its_plain_value(base: type, value: object) -> None:
    """What it holds is there without asking it."""
    kept = [values.label(_hostile(base, value)), values.clean(_hostile(base, value))]

    assert kept == [value, value]
    assert {type(one) for one in kept} == {base}


class Unbound:
    """Like a proxy to what is not there: even `isinstance` raises."""

    __class__ = property(_fail)


def test_a_proxy_to_nothing_leaves_a_placeholder() -> None:
    """Alone, in data, and as a number; what stands beside it is kept."""
    placeholder = f"<{__name__}.Unbound>"

    assert values.label(Unbound()) == placeholder
    assert values.clean({"user": Unbound(), "n": 1}) == {"user": placeholder, "n": 1}
    with pytest.raises(values.RejectedValueError, match="not_a_number"):
        values.number(Unbound(), integer=True, negative=False)


class Stage(str, enum.Enum):  # noqa: UP042  # StrEnum has a __str__ of its own
    STAGED = "staged"


def test_a_text_of_an_enumeration_is_its_value() -> None:
    """As any other member of an enumeration, not `Stage.STAGED`."""
    assert values.label(Stage.STAGED) == values.clean(Stage.STAGED) == "staged"


def test_a_circle_ends() -> None:
    """Data that holds itself is followed to the depth cap and no further."""
    circle: dict[str, object] = {}
    circle["again"] = circle

    assert "[cut: too deep]" in str(values.clean(circle))


def test_a_million_values_are_cut() -> None:
    """A list of a million elements keeps as many as the cap, and a marker."""
    kept = values.clean(list(range(1_000_000)))

    assert isinstance(kept, list)
    assert len(kept) <= values.NODES_MAX + 1
    assert kept[-1] == "[cut: too many values]"


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "sk-proj-abcdefghijklmnop1234",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "Bearer abcdefghijklmnopqrstuvwxyz",
        "bas\u0130c abcdefghijklmnopqrstuvwxyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        "4111 1111 1111 1111",
        "password=hunter22",
        "postgres://app:s3cr3t@db/x",
        "xoxb-1234567890-abcdefghij",
    ],
)
def test_a_secret_in_a_text_is_masked(secret: str) -> None:
    """What looks like a credential does not pass, wherever it stands."""
    kept = str(values.clean({"note": f"it is {secret} indeed", "list": [secret]}))

    assert secret not in kept
    assert values.MASK in kept


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "sk-proj-abcdefghijklmnop1234",
    "pk-abcdefghijklmnop1234",
    "rk-abcdefghijklmnop1234",
    "sk_live_abcdefghij",
    "rk_test_abcdefghij",
    *(f"gh{kind}_abcdefghijklmnopqrstuvwxyz" for kind in "pousr"),
    "github_pat_abcdefghijklmnopqrstuvwxyz",
    "glpat-abcdefghijklmnopqrst",
    "xoxb-1234567890-abcdefghij",
    "AIzaabcdefghijklmnopqrstuvwxyz0123456789",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "dop_v1_abcdefghijklmnopqrstuvwxyz0123456789abcdef",
    "Bearer abcdefghijklmnopqrstuvwxyz",
    "bA\u017fic abcdefghijklmnopqrstuvwxyz",
    "BEARER\tabcdefghijklmnopqrstuvwxyz",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIEow",
    *(
        f"{word}{sign}hunter22"
        for word in ("password", "PASSWD", "pwd", "Secret", "api_key", "API-Key", "apikey")
        for sign in ("=", ": ")
    ),
    *(f"{word}=hunter22" for word in ("token", "access_token", "access-token", "accesstoken")),
    "pa\u017f\u017fword=hunter22",
    "postgres://app:s3cr3t@db/x",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "5500005555555559",
]
prose = st.text(st.sampled_from("ab -_=:./,é日\u017f\u0131K\n"), max_size=12)


@pytest.mark.parametrize("secret", SECRETS, ids=ascii)
@given(before=prose, after=prose)
def test_a_secret_is_masked_whatever_stands_around_it(secret: str, before: str, after: str) -> None:
    """To look first for what only resembles one lets none pass."""
    kept = str(values.clean(f"{before}, {secret}, {after}"))

    assert secret not in kept
    assert values.MASK in kept


@pytest.mark.slow
def test_a_text_that_begins_a_secret_again_and_again_is_looked_at_soon() -> None:
    """What a program says must not hold up the service."""
    began = time.process_time()
    values.clean("eyJ-" * 16_384)

    assert time.process_time() - began < 1


def test_ids_that_are_secrets_stay_apart() -> None:
    """Each has one hash, which tells nothing of it and is not masked in turn."""
    named = [values.identifier(secret) for secret in SECRETS]

    assert len(set(named)) == len(SECRETS)
    assert [values.identifier(secret) for secret in SECRETS] == named
    assert values.clean(named) == named
    assert not any(secret in str(named) for secret in SECRETS)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("run-2026-03-01-7", "run-2026-03-01-7"),
        ("größer\ud800", "größer\ufffd"),
        ("x" * 70_000, values.text("x" * 70_000)),
        (7, 7),
        (None, None),
    ],
)
def test_an_id_that_is_no_secret_is_kept(given: object, kept: object) -> None:
    """As every text is; what is no text as it was given."""
    assert values.identifier(given) == kept


@pytest.mark.parametrize(
    "identifier",
    [
        "e7b14111111111111111a45823cffe9bd",
        "4111111111111111aaaaaaaa",
        "ABCDEF014111111111111111",
        "0b2c4111111111111111d9e8f7a6b5c4d3e2f1a09876543210fedcba9876543210",
    ],
)
def test_digits_in_an_id_or_a_hash_are_no_card(identifier: str) -> None:
    """One in some thousand random ids holds digits that a card could have."""
    assert values.clean({"execution_id": identifier}) == {"execution_id": identifier}


@pytest.mark.parametrize(
    "text", ["a4111111111111111", "visa4111111111111111", "x 4111111111111111"]
)
def test_digits_in_a_short_word_are_a_card(text: str) -> None:
    """Letters right beside them do not hide them."""
    assert "4111" not in str(values.clean(text))


def test_texts_and_keys_are_looked_at_however_many_there_are() -> None:
    """What is remembered of them is bounded, and forgetting it changes no answer."""
    for n in range(2 * values.TEXTS_MAX):
        assert values.clean({f"key {n}": f"a text {n}"}) == {f"key {n}": f"a text {n}"}

    assert values.clean({"api_key": "x", "note": "pwd=hunter22"}) == {
        "api_key": values.MASK,
        "note": values.MASK,
    }


@pytest.mark.slow
@given(st.dictionaries(st.one_of(st.text(), st.sampled_from(["token", "note"])), anything))
def test_attributes_are_cleaned_as_all_data_is(given: dict[str, object]) -> None:
    """Twice, for what is remembered after the first time; None is left out."""
    expected = values.clean({key: value for key, value in given.items() if value is not None})

    for _ in range(2):
        assert repr(values.clean_attributes(given)) == repr(expected)


@pytest.mark.parametrize(
    ("key", "masked"),
    [
        ("api_key", True),
        ("x-api-key", True),
        ("Authorization", True),
        ("clientSecret", True),
        ("session_token", True),
        ("db.password", True),
        ("tokens", False),
        ("input_tokens", False),
        ("tokenizer", False),
        ("secretary", False),
        ("author", False),
    ],
)
def test_a_value_under_a_secret_key_is_masked(key: str, masked: bool) -> None:
    """A key that names a secret masks its value; one that only resembles it does not."""
    kept = values.clean({key: "value"})

    assert kept == {key: values.MASK if masked else "value"}


@given(anything)
def test_any_data_gives_what_exporters_carry(data: object) -> None:
    """Whatever comes in, what goes out holds only the types of an attribute value."""

    def carried(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and carried(item) for key, item in value.items())
        if isinstance(value, list):
            return all(carried(item) for item in value)
        if isinstance(value, str):
            return value.encode() is not None
        return value is None or isinstance(value, bool | int | float | bytes)

    assert carried(values.clean(data))


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary()))
def test_any_label_is_short_and_well_formed(value: object) -> None:
    """A metric attribute is None, a bool, a 64-bit int, a finite float, or short text."""
    label = values.label(value)

    if isinstance(label, str):
        assert len(label.encode()) <= 4 * (values.LABEL_CHARS_MAX + 100)
    elif isinstance(label, float):
        assert math.isfinite(label)
    else:
        assert label is None or -(2**63) <= label < 2**63

"""Label values are what the collector writes, and survive whatever an attribute holds."""

import pytest

from otel_exporter_prometheus.labels import as_string, clean, escape, join, labels_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("", ""),
        (1, "1"),
        (-(2**63), "-9223372036854775808"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (100000.0, "100000"),
        (1e16, "10000000000000000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (float("nan"), "json: unsupported value: NaN"),
        (float("-inf"), "json: unsupported value: -Inf"),
        (b"\x00\xff", "AP8="),
        (("a", "b"), '["a","b"]'),
        ([1, 1.0, True, None, b"\x00"], '[1,1,true,null,"AA=="]'),
        (["<&>", 'q"', "\n\u2028"], '["\\u003c\\u0026\\u003e","q\\"","\\n\\u2028"]'),
        ([float("nan")], ""),
        ({"b": [1, {"c": 0.5}], "a": "x"}, '{"a":"x","b":[1,{"c":0.5}]}'),
    ],
)
def test_as_string(value: object, text: str) -> None:
    """Each type of attribute value reads as it would behind the collector."""
    assert as_string(value) == text


def test_keys_that_become_one_label_are_joined() -> None:
    """No value is lost when two keys differ only in what a label cannot hold."""
    assert labels_of({"a.b": "2", "a_b": 1, "a-b": "", "c": "x"}) == {"a_b": ";2;1", "c": "x"}


def test_an_empty_value_is_no_label() -> None:
    """Prometheus reads `a=""` as no label, so two such series would be one."""
    assert labels_of({"a": "", "b": None}) == {}


def test_a_reserved_label_moves_aside() -> None:
    """An attribute `le` does not collide with a bucket's bound."""
    assert labels_of({"le": "1"}, reserved="le") == {"exported_le": "1"}
    assert labels_of({"le": "1"}) == {"le": "1"}


def test_labels_stand_in_order_and_escaped() -> None:
    """The same attributes give the same text, whatever their order."""
    assert join({"b": 'x"\\\n', "a": "1"}) == 'a="1",b="x\\"\\\\\\n"'
    assert escape("plain") == "plain"


def test_what_no_page_can_hold_is_replaced_and_counted() -> None:
    """Lone surrogates and NUL become U+FFFD; what already is one is not counted."""
    assert clean("a\ud800b\0\ufffd") == ("a\ufffdb\ufffd\ufffd", 2)
    assert clean("ü\r\x85") == ("ü\r\x85", 0)

"""Whether a file holds something like a secret."""

from collections.abc import Callable

import pytest

from otel_metrics.demo.secret_scan import SecretScan, entropy_bits
from otel_metrics.demo.skill import Answer, Finding

Decide = Callable[..., tuple[str, Finding]]
Ask = Callable[..., Answer | None]

KEY = "kJ8sLq2vXz7Wm4Rt9Yb1Nc5Hd"


@pytest.mark.parametrize(
    ("text", "way", "decision", "expected"),
    [
        ("x = 'hello'\n", "rule", "clean", "clean"),
        ("password = 'hunter2hunter2'\n", "full", "suspect", "clean"),
        (f"token = '{KEY}'\n", "full", "suspect", "suspect"),
        (f"login(secret='{KEY}')\n", "full", "suspect", "suspect"),
        ("password = input('password: ')\n", "full", "clean", "clean"),
        ("x = 'AKIAABCDEFGHIJKLMNOP'\n", "full", "suspect", "clean"),
        # A key that nothing announces.
        (f"x = '{KEY}'\n", "rule", "clean", "suspect"),
    ],
)
def test_secret_scan(
    decide: Decide, answer: Ask, text: str, way: str, decision: str, expected: str
) -> None:
    """A name or a shape announces a secret; entropy shows one. Neither sees all."""
    skill = SecretScan()
    decided_by, finding = decide(skill, text)
    checked = answer(skill, text)

    assert (decided_by, finding.decision) == (way, decision)
    assert checked is not None
    assert checked.expected == expected


@pytest.mark.parametrize(("text", "bits"), [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("abcd", 2.0)])
def test_entropy(text: str, bits: float) -> None:
    """Bits for each character, by how often each occurs."""
    assert entropy_bits(text) == bits

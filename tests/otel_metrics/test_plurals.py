"""Numbers with their nouns."""

import pytest

from otel_metrics.plurals import counted


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, "event"), "0 events"),
        ((1, "event"), "1 event"),
        ((2_000, "event"), "2,000 events"),
        ((1, "call of a model", "calls of models"), "1 call of a model"),
        ((2, "call of a model", "calls of models"), "2 calls of models"),
    ],
)
def test_one_is_one_and_all_else_is_many(
    arguments: tuple[int, str] | tuple[int, str, str], text: str
) -> None:
    """As people say it."""
    assert counted(*arguments) == text

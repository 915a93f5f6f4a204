"""How many of something there are, in words: what people read says `1 event`, and `2 events`."""

__all__ = ["counted"]


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    Args:
        many: the noun's plural, where that is not just an `s` behind it.

    >>> counted(1, "event"), counted(2_000, "event")
    ('1 event', '2,000 events')
    >>> counted(0, "call of a model", "calls of models")
    '0 calls of models'
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"

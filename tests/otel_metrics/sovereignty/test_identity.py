"""The identity of an event is in the archive and in the store as it was given."""

from hypothesis import example, given
from hypothesis import strategies as st

from otel_metrics import values
from otel_metrics.sovereignty import identity
from otel_metrics.sovereignty.identity import NUMBER_MAX, new_id, parsed

LETTERS = st.sampled_from("abcdef")
HALF = st.builds(
    lambda digits, letter: digits + letter,
    st.text("0123456789", min_size=7, max_size=7)
    | st.text("0123456789abcdef", min_size=7, max_size=7),
    LETTERS,
)


def test_each_half_of_a_writer_ends_with_a_letter() -> None:
    """Whichever process it is."""
    writer = identity._Writer()
    ends = set()
    for _ in range(200):
        writer.renew()
        ends |= {writer.name[7], writer.name[15]}

    assert ends <= set("abcdef")


def test_identities_count_up() -> None:
    """By one writer."""
    first, second = parsed(new_id()), parsed(new_id())

    assert first is not None
    assert second == (first[0], first[1] + 1)


@given(HALF, HALF, st.integers(1, NUMBER_MAX))
@example("e1d7b33a", "0448749b", 14)
@example("4111111a", "1111111a", 4111111111111111)
def test_no_identity_is_taken_for_a_secret(first: str, second: str, number: int) -> None:
    """A card's number is masked wherever it stands; an event without an identity is no row."""
    given_id = f"{first}{second}-{number}"

    assert values.clean(given_id) == given_id
    assert parsed(given_id) == (f"{first}{second}", number)

"""What of a source's answer is taken."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.service.readings import RESOURCES_MAX, SourceError, checked

IDS = st.none() | st.text(max_size=300)
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.decimals()
    | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(IDS, ANYTHING, max_size=8))
def test_any_answer_is_finite_numbers_and_faults(answer: dict[str | None, object]) -> None:
    """Each resource has a finite number, None, or a fault; or the answer is refused whole."""
    try:
        found = checked(answer)
    except SourceError as error:
        assert error.kind == "ambiguous"
        return

    assert len(found.numbers) + len(found.faults) == len(answer)
    assert all(value is None or math.isfinite(value) for value in found.numbers.values())
    assert {fault.kind for fault in found.faults.values()} <= {"not_a_number"}


def test_ids_that_are_cut_to_one_are_refused() -> None:
    """Two resources would be one series."""
    with pytest.raises(SourceError) as raised:
        checked({chr(0xD800): 1, chr(0xDFFF): 2})
    assert raised.value.kind == "ambiguous"


def test_an_answer_has_a_bound() -> None:
    """At it, everything is taken."""
    answer: dict[str | None, object] = {str(number): number for number in range(RESOURCES_MAX)}

    assert len(checked(answer).numbers) == RESOURCES_MAX
    with pytest.raises(SourceError) as raised:
        checked({**answer, "one more": 1})
    assert raised.value.kind == "too_many_resources"

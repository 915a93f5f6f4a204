"""What agents share: files that are seen once, and full analyses that count as model calls."""

from collections import Counter
from collections.abc import Callable

import pytest

from otel_metrics import testing
from otel_metrics.demo.desk import MODEL, PROVIDER, SIGHTS_MAX, Desk
from otel_metrics.demo.library import Source
from otel_metrics.demo.tally import Tally


def desk(read: Callable[[str], Source]) -> Desk:
    return Desk(read, Tally(), session_id="s-1", clock=iter(range(1000)).__next__)


def test_the_same_contents_are_seen_once(read: Callable[[str], Source]) -> None:
    """A second look, and a copy under another name, need no model."""
    shared = desk(read)
    with testing.capture() as seen:
        paths = [shared.look(path).source.path for path in ("a.py", "b.py", "a.py")]

    assert paths == ["a.py", "b.py", "a.py"]
    assert shared.tally.sovereignty == {"perception_vlm_call": 1, "perception_cache_hit": 2}
    assert Counter(event.name for event in seen.events) == {
        "sovereignty.perception_vlm_call": 1,
        "sovereignty.perception_cache_hit": 2,
    }


def test_what_is_remembered_is_bounded() -> None:
    """A library of any size takes the same memory; what was seen longest ago is seen anew."""
    shared = desk(lambda path: Source(path, f"x = {path}\n".encode()))
    for number in range(SIGHTS_MAX + 1):
        shared.look(str(number))
    shared.look(str(SIGHTS_MAX))
    shared.look("0")

    assert shared.tally.sovereignty == {
        "perception_vlm_call": SIGHTS_MAX + 2,
        "perception_cache_hit": 1,
    }


def test_a_full_analysis_is_a_call_of_a_local_model_without_a_price(
    read: Callable[[str], Source],
) -> None:
    """Tokens are those of `tokenize`, the duration is the clock's, and no cost is made up."""
    shared = desk(read)
    with testing.capture() as seen:
        sight = shared.look("a.py")

    about = {"gen_ai.provider.name": PROVIDER, "gen_ai.request.model": MODEL}
    model = {"gen_ai.operation.name": "chat", **about}
    assert (shared.tally.input_tokens, shared.tally.output_tokens) == (len(sight.lexemes), 4)
    assert seen.value("gen_ai.client.inference.duration", model) == 1
    assert seen.value("llm.unpriced_tokens", about) == len(sight.lexemes) + 4
    assert not {"llm.cost", "skill.cost"} & seen.names()


def test_a_full_analysis_that_fails_is_a_call_too(read: Callable[[str], Source]) -> None:
    """It counts with its error and with the tokens that are known: none."""
    shared = desk(read)
    with testing.capture() as seen, pytest.raises(Exception, match="EOF"):
        shared.look("open.py")

    (point,) = seen.points("gen_ai.client.inference.duration")
    assert (point.attributes or {})["error.type"] == "tokenize.TokenError"
    assert (shared.tally.model_calls, shared.tally.input_tokens) == (1, 0)
    assert seen.value("gen_ai.client.inference.usage.input_tokens") == 0


def test_a_file_that_cannot_be_read_asks_no_model(read: Callable[[str], Source]) -> None:
    """Reading failed; nothing was analysed."""
    shared = desk(read)
    with pytest.raises(ValueError, match="is longer"):
        shared.look("large.py")

    assert (shared.tally.model_calls, shared.tally.sovereignty) == (0, Counter())

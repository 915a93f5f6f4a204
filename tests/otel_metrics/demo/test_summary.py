"""What a newcomer reads at the end."""

import dataclasses
from collections import Counter

import pytest

from otel_metrics.demo.summary import Closing, Ending, sovereign_share, summarise
from otel_metrics.demo.tally import SkillTally, Tally

TALLY = Tally(
    skills={
        "compile_check": SkillTally(
            runs=1352,
            correct=1345,
            incorrect=1,
            errors=Counter({"SyntaxError": 2, "otel_metrics.demo.library.SourceTooLargeError": 4}),
            durations_s=[0.0035, 0.001, 0.2],
        ),
        "secret_scan": SkillTally(runs=2, correct=1, unverified=1, durations_s=[0.00104]),
    },
    files=1352,
    sovereignty=Counter(
        {
            "perception_cache_hit": 3,
            "perception_vlm_call": 1,
            "decision_rule_hit": 1,
            "decision_llm_call": 1,
            "narration_template": 2,
        }
    ),
    model_calls=964,
    input_tokens=2526153,
    output_tokens=44249,
)
CLOSING = Closing(
    python="3.11.7",
    files=1790,
    elapsed_s=15.04,
    ending="time",
    archive="./telemetry",
    service="otel-metrics-demo",
    deliveries={"ndjson": "delivered", "otlp": "failed: connection refused"},
    commands=["otel-metrics archive ls", "otel-metrics catalog list"],
)


def test_the_summary_says_what_was_done_in_plain_words() -> None:
    """Outcomes by skill, sovereign work, tokens, archive, verdicts, and what to try next."""
    assert (
        summarise(TALLY, CLOSING)
        == """\
1,352 of 1,790 files of Python 3.11.7's standard library in 15.0 s; time was over

skill           runs  correct  incorrect  unverified  errors  median
compile_check  1,352    1,345          1           0       6  3.5 ms
secret_scan        2        1          0           1       0  1.0 ms

Sovereign work    75.0 % was done without a model (perception 75 %, decision 50 %, narration 100 %)
Model calls       964 full analyses on this machine; no model was asked
Tokens            2,526,153 in, 44,249 out, as Python's tokenize counts them; no price, so no cost
Errors            SourceTooLargeError 4, SyntaxError 2
Archive           ./telemetry, service otel-metrics-demo
Export to ndjson  delivered
Export to otlp    failed: connection refused

Try next
  otel-metrics archive ls
  otel-metrics catalog list"""
    )


def test_nothing_done_is_said_as_such() -> None:
    """An empty session divides by nothing and promises nothing."""
    closing = dataclasses.replace(CLOSING, archive=None, deliveries={}, commands=[], unlisted=2)

    assert (
        summarise(Tally(), closing)
        == """\
0 of 1,790 files of Python 3.11.7's standard library in 15.0 s; time was over; 2 folders could \
not be listed

skill  runs  correct  incorrect  unverified  errors  median

Sovereign work    no work yet
Model calls       0 full analyses on this machine; no model was asked
Tokens            0 in, 0 out, as Python's tokenize counts them; no price, so no cost
Errors            none
Archive           none"""
    )


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("files", "as many as were asked for"),
        ("time", "time was over"),
        ("interrupted", "interrupted"),
    ],
)
def test_the_summary_says_why_it_ended(ending: Ending, said: str) -> None:
    """Whoever pressed Ctrl-C sees that it was heard."""
    headline = summarise(TALLY, dataclasses.replace(CLOSING, ending=ending)).splitlines()[0]

    assert headline.endswith(f"; {said}")


def test_a_layer_without_work_has_no_share() -> None:
    """Nothing done is not nothing sovereign."""
    assert sovereign_share({"decision_rule_hit": 1}, "narration") is None
    assert sovereign_share({"decision_rule_hit": 1, "narration_llm": 3}) == 25.0

"""What a session came to, in words and figures for someone who sees this for the first time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from otel_metrics.demo.tally import SkillTally, Tally

__all__ = ["Closing", "Ending", "sovereign_share", "summarise", "visits"]

Ending = Literal["files", "time", "interrupted"]

LAYERS: Final[Mapping[str, tuple[str, str]]] = {
    "perception": ("perception_cache_hit", "perception_vlm_call"),
    "decision": ("decision_rule_hit", "decision_llm_call"),
    "narration": ("narration_template", "narration_llm"),
}
"""Each layer's event types: done without a model, and with one."""

COLUMNS: Final = ("skill", "runs", "correct", "incorrect", "unverified", "errors", "median")

_ENDINGS: Final[Mapping[Ending, str]] = {
    "files": "as many as were asked for",
    "time": "time was over",
    "interrupted": "interrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What else a summary says.

    Attributes:
        python: version of the Python whose library was read.
        files: files that the library has.
        unlisted: folders of it that could not be listed.
        elapsed_s: duration of the session, in seconds.
        ending: why it ended.
        archive: folder of the archive; None where none was written.
        service: name of the service.
        deliveries: what became of the records, by exporter.
        commands: what to try next.
    """

    python: str
    files: int
    unlisted: int = 0
    elapsed_s: float
    ending: Ending
    archive: str | None
    service: str
    deliveries: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()


def summarise(tally: Tally, closing: Closing) -> str:
    """Return the summary as plain text, each line at most 100 characters where names allow."""
    blocks = [
        [_headline(tally, closing)],
        _table(tally.skills),
        [_fact(*fact) for fact in _facts(tally, closing)],
        ["Try next", *(f"  {command}" for command in closing.commands)] if closing.commands else [],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def sovereign_share(events: Mapping[str, int], *layers: str) -> float | None:
    """Return the share of work that was done without a model, in percent; None without work.

    Args:
        events: sovereignty events by type.
        layers: of `LAYERS`; all of them by default.
    """
    pairs = [LAYERS[layer] for layer in layers or LAYERS]
    sovereign = sum(events.get(alone, 0) for alone, _ in pairs)
    total = sovereign + sum(events.get(model, 0) for _, model in pairs)
    return 100 * sovereign / total if total else None


def visits(visited: int, files: int) -> str:
    """Return how many files were visited, of how many, in words.

    >>> visits(40, 1790), visits(2000, 1790)
    ('40 of 1,790 files', '2,000 visits to 1,790 files')
    """
    return f"{visited:,} {'of' if visited <= files else 'visits to'} {files:,} files"


def _headline(tally: Tally, closing: Closing) -> str:
    missing = f"; {closing.unlisted} folders could not be listed" if closing.unlisted else ""
    return (
        f"{visits(tally.files, closing.files)} of Python {closing.python}'s standard library"
        f" in {closing.elapsed_s:.1f} s; {_ENDINGS[closing.ending]}{missing}"
    )


def _table(skills: Mapping[str, SkillTally]) -> list[str]:
    rows = [COLUMNS, *(_row(name, skill) for name, skill in skills.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _row(name: str, skill: SkillTally) -> tuple[str, ...]:
    errors = sum(skill.errors.values())
    counts = (skill.runs, skill.correct, skill.incorrect, skill.unverified, errors)
    return (name, *(f"{count:,}" for count in counts), f"{skill.median_s * 1000:.1f} ms")


def _facts(tally: Tally, closing: Closing) -> list[tuple[str, str]]:
    facts = [
        ("Sovereign work", _sovereign(tally.sovereignty)),
        ("Model calls", f"{tally.model_calls:,} full analyses on this machine; no model was asked"),
        ("Tokens", _tokens(tally)),
        ("Errors", _errors(tally.errors)),
        ("Archive", f"{closing.archive}, service {closing.service}" if closing.archive else "none"),
    ]
    for exporter, verdict in closing.deliveries.items():
        facts.append((f"Export to {exporter}", verdict))
    return facts


def _tokens(tally: Tally) -> str:
    counted = f"{tally.input_tokens:,} in, {tally.output_tokens:,} out"
    return f"{counted}, as Python's tokenize counts them; no price, so no cost"


def _sovereign(events: Mapping[str, int]) -> str:
    whole = sovereign_share(events)
    if whole is None:
        return "no work yet"
    layers = ", ".join(
        f"{layer} {share:.0f} %"
        for layer in LAYERS
        if (share := sovereign_share(events, layer)) is not None
    )
    return f"{whole:.1f} % was done without a model ({layers})"


def _errors(errors: Counter[str]) -> str:
    named = (f"{name.rpartition('.')[2]} {count:,}" for name, count in errors.most_common())
    return ", ".join(named) or "none"


def _fact(name: str, text: str) -> str:
    return f"{name:<18}{text}"

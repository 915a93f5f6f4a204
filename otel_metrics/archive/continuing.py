"""Segments that say they go on from earlier ones, whose fsync failed. Pure.

Readers leave out of an earlier one what stands behind the line that is named, because it was
written again: so whoever may name lines may hide records, and here it is told who does.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from otel_metrics.archive.inspection import Inspected
from otel_metrics.archive.problems import Problem

__all__ = ["Numbered", "continued_by", "is_settled", "numbered", "tell_continues"]

Numbered = tuple[str, str, int]
"""Signal, writer and number of a segment."""


def numbered(found: Inspected) -> Numbered:
    """Return by what a segment is named where another goes on from it."""
    return (*found.segment.writer, found.segment.sequence)


def continued_by(found: Inspected) -> Iterator[Numbered]:
    """Return each earlier segment that this one says it goes on from."""
    yield from (each for each in _said(found) if each[2] < found.segment.sequence)


def is_settled(found: Inspected, *, keyed: bool) -> bool:
    """Whether what a segment says of others counts; with keys its writer must have signed it."""
    return not keyed or found.vouched or (found.signed and found.own_seal)


def tell_continues(found: Sequence[Inspected], *, keyed: bool) -> Iterator[Problem]:
    """Tell what no writer says, and with keys, what nobody signed that hides records."""
    own = {numbered(each) for each in found if each.own_seal}
    for each in found:
        said = list(_said(each))
        for number in sorted({number[2] for number in said if number in own}):
            yield _wrong(each, f"{number}, which its own writer sealed")
        if any(number[2] >= each.segment.sequence for number in said):
            yield _wrong(each, "itself or a later one")
        named = sorted({number[2] for number in continued_by(each)} - {n[2] for n in own & {*said}})
        if keyed and named and not each.signed and not each.vouched:
            yield _unsigned(each, named)


def _said(found: Inspected) -> Iterator[Numbered]:
    again: Any = (found.scan.head or {}).get("continues")
    for each in again if isinstance(again, list) else ():
        number = each.get("sequence") if isinstance(each, dict) else None
        if isinstance(number, int):
            yield (*found.segment.writer, number)


def _wrong(found: Inspected, what: str) -> Problem:
    return Problem(
        verdict="integrity",
        kind="continues",
        message=f"its first line says that it goes on from segment {what}; no writer says that",
        path=found.segment.path,
        segment=found.segment,
    )


def _unsigned(found: Inspected, named: Iterable[int]) -> Problem:
    which = ", ".join(map(str, named))
    return Problem(
        verdict="note" if found.state == "open" else "unfinished",
        kind="continues",
        message=f"an unsigned segment hides records of segment {which} of its writer from readers",
        path=found.segment.path,
        segment=found.segment,
    )

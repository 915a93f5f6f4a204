"""Whose segments there are: what they say of their archive, and what a checkpoint says."""

from collections.abc import Iterator, Mapping
from typing import Final

from otel_exporter_ndjson.sealkey import SealKey
from otel_metrics.archive.checkpoint import Checkpoint
from otel_metrics.archive.inspection import Inspected
from otel_metrics.archive.problems import Problem

__all__ = ["of_archive", "tell_aliens"]

NAMED_MAX: Final = 3
"""Ids of archives that a message names."""


def tell_aliens(found: list[Inspected], identity: str | None) -> None:
    """Tell each segment of another archive, unless all of them are: then `.archive` is wrong."""
    if identity is None or _is_all_alien(found):
        return
    for each in found:
        said: object = (each.scan.head or {}).get("archive")
        message = f"its first line says archive {said}, and this is {identity}"
        if each.alien and not any(problem.message == message for problem in each.problems):
            each.add("foreign", message)


def _is_all_alien(found: list[Inspected]) -> bool:
    """Whether all segments, of which there are several, say the same other archive."""
    heads = [each.scan.head for each in found if each.scan.head is not None]
    said = {str(head.get("archive")) for head in heads}
    return len(heads) > 1 and len(said) == 1 and any(each.alien for each in found)


def _names(archives: list[str]) -> str:
    """Return the ids of archives in words, the first few of them."""
    more = f" and {len(archives) - NAMED_MAX} more" if len(archives) > NAMED_MAX else ""
    return f"it is {', '.join(archives[:NAMED_MAX]) or 'nowhere'}{more}"


def of_archive(
    root: str,
    identity: str | None,
    found: list[Inspected],
    ring: Mapping[str, SealKey],
    checkpoint: Checkpoint | None,
) -> Iterator[Problem]:
    """Return what is about the archive as a whole: its id, and the checkpoint it is held to."""
    aliens = [each for each in found if each.alien]
    if (identity is None and found) or _is_all_alien(found):
        said = sorted({str((each.scan.head or {}).get("archive")) for each in aliens})
        is_of = f"says {identity}" if identity else "is missing or holds no id"
        message = f"the file .archive {is_of}, and {_names(said)} in its {len(aliens)} segments"
        yield Problem(verdict="integrity", kind="foreign", message=message, path=root)
    if checkpoint is None:
        return
    if ring and checkpoint.signature != "signed":
        why = {
            "unsigned": "is not signed",
            "unknown_key": "is signed with a key that was not given",
        }.get(checkpoint.signature, "has a signature that does not hold")
        message = f"the checkpoint {why}, and keys were given: anybody could have made it"
        yield Problem(verdict="completeness", kind="checkpoint", message=message, path=root)
    elif checkpoint.signature != "unsigned" and not ring:
        message = "the checkpoint is signed, and without --key-file its signature was not checked"
        yield Problem(verdict="note", kind="checkpoint", message=message, path=root)

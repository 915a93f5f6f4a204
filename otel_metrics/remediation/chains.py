"""Whether the chains of the audit's entries hold: one chain for each ledger. Pure.

An entry that stands in the audit twice, byte for byte, is no fault: whoever wrote it was not told
that it was on the disk.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Literal, NamedTuple, TypeVar

from otel_metrics.remediation.audit import FIRST_HASH, LEDGER, Entry, entry_hash

__all__ = ["Chains", "Fault", "faults"]

W = TypeVar("W")


class Fault(NamedTuple, Generic[W]):
    """What is wrong with a chain, in words.

    Attributes:
        kind: `changed` where an entry is not what was written, `missing` where some are not there.
        where: that of the entry at which it shows.
    """

    kind: Literal["changed", "missing"]
    message: str
    where: W


class _Link(NamedTuple, Generic[W]):
    own: str
    previous: object
    where: W


class Chains(Generic[W]):
    """What entries come to, which may be taken in any order; of each only its hashes are kept.

    Args:
        until: the last sequence of each ledger that counts; without it, all do.
    """

    def __init__(self, until: Mapping[str, int] | None = None) -> None:
        self._until = until
        self._links: dict[str, dict[int, _Link[W]]] = {}
        self._changed: list[Fault[W]] = []

    def take(self, entry: Entry, where: W) -> None:
        """Take an entry, and where it stands."""
        ledger, sequence = str(entry.get(LEDGER, "")), entry.get("sequence")
        links = self._links.setdefault(ledger, {})
        if not isinstance(sequence, int):
            self._is_wrong(ledger, "an entry has no sequence", where)
        elif self._until is not None and sequence > self._until.get(ledger, 0):
            return
        elif entry.get("entry_hash") != (own := entry_hash(entry)):
            self._is_wrong(ledger, f"entry {sequence}: its hash is not that of its fields", where)
        elif links.setdefault(sequence, _Link(own, entry.get("previous_hash"), where)).own != own:
            self._is_wrong(ledger, f"entry {sequence}: there are two of them", where)

    @property
    def ends(self) -> Mapping[str, int]:
        """The last sequence of each ledger."""
        return {ledger: max(links, default=0) for ledger, links in self._links.items()}

    def faults(self) -> Iterator[Fault[W]]:
        """Return what is wrong with what was taken."""
        yield from self._changed
        for ledger, links in self._links.items():
            before, wanted = 0, FIRST_HASH
            for sequence in sorted(links):
                link = links[sequence]
                if sequence != before + 1:
                    missing = f"entries {before + 1} to {sequence - 1} are missing"
                    yield Fault("missing", _named(ledger, missing), link.where)
                elif link.previous != wanted:
                    wrong = f"entry {sequence}: does not name the hash of the entry before it"
                    yield Fault("changed", _named(ledger, wrong), link.where)
                before, wanted = sequence, link.own

    def _is_wrong(self, ledger: str, message: str, where: W) -> None:
        self._changed.append(Fault("changed", _named(ledger, message), where))


def faults(entries: Iterable[Entry]) -> Iterator[str]:
    """Return in words what is wrong with the chains of entries."""
    chains = Chains[None]()
    for entry in entries:
        chains.take(entry, None)
    return (fault.message for fault in chains.faults())


def _named(ledger: str, message: str) -> str:
    return f"ledger {ledger}: {message}" if ledger else message

"""Whether the entries of remediation in an archive's audit are what was written, and all of it.

A segment's own hashes are made by whoever writes the segment; an entry's names the one before it,
whichever process wrote that, and wherever it stands.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.reader import Record
from otel_metrics.archive.problems import Problem
from otel_metrics.archive.remediation_audit import placed_entries
from otel_metrics.remediation.chains import Chains, Fault

__all__ = ["of_entries"]

LOOKS_MAX: Final = 3
"""How often the audit is read again, where an entry is missing that may only have been written
after we read past its place."""


def of_entries(root: str, fs: Fs) -> Iterator[Problem]:
    """Return what is wrong with the chains of the entries of an archive."""
    chains = _read(root, fs)
    faults = list(chains.faults())
    for _ in range(LOOKS_MAX):
        if not any(fault.kind == "missing" for fault in faults):
            break
        # What an entry follows on was on the disk before it: another look must find it.
        chains = _read(root, fs, until=chains.ends)
        faults = list(chains.faults())
    return map(_problem, faults)


def _read(root: str, fs: Fs, until: Mapping[str, int] | None = None) -> Chains[Record]:
    chains = Chains[Record](until)
    for record, fields in placed_entries(root, fs=fs):
        chains.take(fields, record)
    return chains


def _problem(fault: Fault[Record]) -> Problem:
    record = fault.where
    return Problem(
        verdict="completeness" if fault.kind == "missing" else "integrity",
        kind="entries",
        message=f"the audit of remediation: {fault.message}",
        path=record.segment.path,
        segment=record.segment,
        line=record.line,
    )

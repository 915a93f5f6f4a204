"""The audit's entries: what is in one, and the chain of hashes that they form. Pure.

Each entry's hash covers every field of it, each name and value with its length before it, so that
no two entries have one text; and the hash of the entry before it is one of the fields. Whether
chains hold is in `chains.py`, who writes them to the archive in `trail.py`.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from otel_metrics import values
from otel_metrics.service.samples import Resource

__all__ = [
    "APPROVAL",
    "FIRST_HASH",
    "INTENDED",
    "INTENT",
    "LEDGER",
    "REQUESTED",
    "RESULT",
    "SWITCHED",
    "VERIFIED",
    "AuditSink",
    "Entry",
    "canonical",
    "entry_hash",
    "entry_of",
    "resource_of",
    "sealed",
    "text_of",
]

Entry = Mapping[str, str | int]
"""An entry's fields by name."""

REQUESTED: Final = "remediation.requested"
APPROVAL: Final = "remediation.approval"
INTENT: Final = "remediation.intent"
RESULT: Final = "remediation.result"
VERIFIED: Final = "remediation.verified"
SWITCHED: Final = "remediation.switched"
INTENDED: Final = "intended"
"""The `result` of an entry that says what is about to be done."""
LEDGER: Final = "remediation.ledger.id"
"""Names the ledger in an entry: each has a chain of its own."""
FIRST_HASH: Final = "0" * 64
"""Stands for the hash of the entry before the first."""


class AuditSink(Protocol):
    """Where entries are kept for good."""

    def say(self, event: str, attributes: Entry) -> None:
        """Write one line.

        Raises:
            OSError: it is not on the disk.
        """


def entry_of(
    *,
    actor: str,
    action: str,
    target: Resource | None,
    metric: str | None,
    result: str,
    at_us: int,
    payload: Mapping[str, object],
    names: Mapping[str, str | None],
    more: Mapping[str, str | int | None],
) -> dict[str, str | int]:
    """Return an entry without its place in the chain. What looks like a secret is masked.

    Args:
        at_us: Unix time in microseconds.
        payload: what was asked, would be done, or was done.
        names: ids and keys, which are kept as they are; None is left out, as of `more`.
    """
    fields: dict[str, object] = {
        "actor": actor,
        "action": action,
        "resource": "" if target is None else text_of(target),
        "subsystem": metric.partition(".")[0] if metric else "remediation",
        "payload": canonical(values.clean(payload)),
        "result": result,
        "timestamp": _time(at_us),
        "metric_id": metric,
        **more,
    }
    kept = {**values.clean_attributes(fields)}
    kept.update({key: values.text(name) for key, name in names.items() if name is not None})
    return {key: value for key, value in kept.items() if isinstance(value, str | int)}


def sealed(entry: Entry, sequence: int, previous_hash: str) -> dict[str, str | int]:
    """Return an entry in its place in the chain."""
    placed = {**entry, "sequence": sequence, "previous_hash": previous_hash}
    return {**placed, "entry_hash": entry_hash(placed)}


def entry_hash(entry: Entry) -> str:
    """Return the SHA-256 over every field but `entry_hash` itself, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(entry):
        if name != "entry_hash":
            value = entry[name]
            kind = "i" if isinstance(value, int) else "s"
            for part in (name.encode(), kind.encode(), str(value).encode()):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def canonical(value: object) -> str:
    """Return data as JSON of which there is one text only."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def text_of(resource: Resource) -> str:
    """Return a resource as entries write it: `host/web-1`."""
    return f"{resource.scope}/{resource.id}"


def resource_of(text: str) -> Resource:
    """Return the resource that an entry writes so; scopes hold no `/`."""
    scope, _, name = text.partition("/")
    return Resource(scope, name)


def _time(at_us: int) -> str:
    seconds, rest = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"

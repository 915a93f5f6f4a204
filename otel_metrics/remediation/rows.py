"""Rows of the ledger as mappings, and the request that runs and approvals each keep. Pure."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import cast

from otel_metrics.remediation.model import Request
from otel_metrics.service.samples import BandName, Resource

__all__ = ["named", "request_of"]


def named(rows: sqlite3.Cursor) -> Iterator[Mapping[str, object]]:
    """Return each row by the names of its columns."""
    names = [column[0] for column in rows.description]
    return (dict(zip(names, row, strict=True)) for row in rows)


def request_of(row: Mapping[str, object], *, parameters: str) -> Request:
    """Return the request of a row, whose parameters are in the column of that name."""
    texts = cast("Mapping[str, str]", row)
    return Request(
        playbook=texts["playbook"],
        parameters=json.loads(texts[parameters]),
        target=Resource(texts["scope"], texts["target"]),
        actor=texts["actor"],
        reason=texts["reason"],
        key=texts["key"],
        metric=texts["metric"],
        band=cast("BandName | None", row["band"]),
    )

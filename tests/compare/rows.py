"""The rows of the table, in the order in which a newcomer meets them, and the pairs beside it."""

from typing import Any, Final

from tests.compare.pain import Pain
from tests.compare.pains import (
    cardinality,
    exit_time,
    exponential,
    flush_verdict,
    fork,
    log_lines,
    misspelt_exporter,
    partial_success,
    poison,
    replicas,
    second_process,
    second_provider,
    sigterm,
    stale_gauge,
    surrogate,
    workers,
)

__all__ = ["BESIDE", "ROWS"]

ROWS: Final[tuple[Pain[Any], ...]] = (
    workers.PAIN,
    fork.PAIN,
    sigterm.PAIN,
    flush_verdict.PAIN,
    exit_time.PAIN,
    log_lines.PAIN,
    poison.PAIN,
    cardinality.PAIN,
    exponential.PAIN,
    surrogate.PAIN,
)
"""What `make compare` shows."""

BESIDE: Final[tuple[Pain[Any], ...]] = (
    second_process.PAIN,
    second_provider.PAIN,
    misspelt_exporter.PAIN,
    partial_success.PAIN,
    stale_gauge.PAIN,
    replicas.PAIN,
)
"""Pains that are tested likewise, and are no rows."""

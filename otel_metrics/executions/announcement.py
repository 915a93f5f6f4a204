"""The event that tells consumers of an execution that was recorded: its form. Pure functions.

A contract: consumers have long read these fields.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from otel_metrics import values

__all__ = ["SUBJECT", "event_id", "line", "project_name"]

SUBJECT: Final = "activity.kaizen.metrics.recorded"
"""Where the event is published."""
TYPE: Final = "kaizen.metrics.recorded"
VERSION: Final = "1.0"
PUBLISHER: Final = "kaizen-agentic"


class _Identified(msgspec.Struct):
    id: str


def line(
    agent: str, project: str, summary: Mapping[str, Any], *, timestamp: str, event_id: str
) -> bytes:
    """Return the event as one line: what is published, byte for byte.

    Args:
        summary: as in `summary.json`, with the execution in it.
        timestamp: when it was made.
        event_id: a UUID.
    """
    event = {
        "id": event_id,
        "type": TYPE,
        "version": VERSION,
        "timestamp": timestamp,
        "publisher": PUBLISHER,
        "attributes": {
            "agent": values.text(agent),
            "project": values.text(project),
            "summary": {
                "success_rate": summary["success_rate"],
                "execution_count": summary["execution_count"],
                "avg_quality": summary["avg_quality_score"],
            },
        },
    }
    return json.dumps(event).encode()


def event_id(line: bytes) -> str | None:
    """Return the id of a line that waits; None where it is none of an event's."""
    try:
        return _decoder.decode(line).id
    except (msgspec.MsgspecError, RecursionError):
        return None


def project_name(slug: str | None, folder: str) -> str:
    """Return what an event calls a project: its slug, or else the name of its folder."""
    return (slug or "").strip() or os.path.basename(folder) or folder


_decoder: Final = msgspec.json.Decoder(_Identified)

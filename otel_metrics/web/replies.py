"""Answers in JSON."""

import json
from collections.abc import Mapping

from otel_exporter_prometheus.protocol import JSON, Answer

__all__ = ["as_problem", "problem", "reply"]


def reply(status: int, data: Mapping[str, object], *extra: tuple[str, str]) -> Answer:
    """Return an answer that holds data."""
    return Answer(status, json.dumps(data, ensure_ascii=False).encode() + b"\n", JSON, extra)


def problem(status: int, message: str, *extra: tuple[str, str]) -> Answer:
    """Return an answer that says what is wrong and what to do."""
    return reply(status, {"error": message}, *extra)


def as_problem(answer: Answer) -> Answer:
    """Return an answer of one sentence as JSON."""
    return problem(answer.status, answer.body.decode().strip(), *answer.extra)

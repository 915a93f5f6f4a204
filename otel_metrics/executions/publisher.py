"""Publishes the events that wait, and takes out of their outboxes what the broker has.

At least once, each always under the same id: with a JetStream stream on the subject the server
keeps the event before it answers, and discards one that it has (`Nats-Msg-Id`); without one the
server answers that it has passed the event on. An event that got no answer waits for the next call.

Threads: everything runs on the caller's thread. One process publishes for a project at a time; the
others wait, and then find nothing left to send.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_metrics import line_files
from otel_metrics.executions import session
from otel_metrics.executions.announcement import event_id
from otel_metrics.executions.broker import Broker
from otel_metrics.executions.folder import Folder
from otel_metrics.executions.session import Course, Message, PublishError

__all__ = ["PUBLISH_TIMEOUT_S", "Published", "publish"]

PUBLISH_TIMEOUT_S: Final = 60.0
"""For all events together, where nothing else is said."""
REASON_CHARS_MAX: Final = 300
"""Characters of a reason that are passed on: a part of it is a server's."""


@dataclass(slots=True)
class Published:
    """What became of the events that waited.

    Attributes:
        sent: how many the broker has.
        waiting: how many still wait.
        too_large: how many of these the broker does not take.
        error: why the rest was not sent.
    """

    sent: int = 0
    waiting: int = 0
    too_large: int = 0
    error: str | None = None


def publish(
    folder: Folder,
    agents: Sequence[str],
    broker: Broker,
    *,
    timeout_s: float = PUBLISH_TIMEOUT_S,
) -> Published:
    """Publish what waits for these agents: one after the other, each in the order of its events.

    Raises neither for a broker nor for a network nor for a disk. Not from inside an event loop.

    Args:
        timeout_s: for the whole call but the wait for another that publishes.
    """
    result = Published()
    try:
        if any(os.path.lexists(folder.outbox(agent).path) for agent in agents):
            with line_files.locked(folder.publishing):
                _publish(folder, agents, broker, timeout_s, result)
    except OSError as error:
        result.error = str(error)
        with contextlib.suppress(OSError):
            result.waiting = sum(len(folder.outbox(agent).waiting()) for agent in agents)
    return result


def _publish(
    folder: Folder, agents: Sequence[str], broker: Broker, timeout_s: float, result: Published
) -> None:
    boxes = [folder.outbox(agent) for agent in agents]
    messages = [_message(line) for outbox in boxes for line in outbox.waiting()]
    if not messages:
        return
    course = Course()
    try:
        session.send(broker, messages, course, timeout_s)
    except PublishError as error:
        result.error = _printable(broker.redacted(str(error)))
    result.sent, result.too_large = len(course.sent), len(course.too_large)
    result.waiting = len(messages) - result.sent
    for outbox in boxes:
        outbox.remove(course.sent)


def _message(line: bytes) -> Message:
    identifier = event_id(line)
    assert identifier is not None  # an outbox returns no other lines
    return Message(identifier, line)


def _printable(text: str) -> str:
    short = text if len(text) <= REASON_CHARS_MAX else f"{text[:REASON_CHARS_MAX]}…"
    return json.dumps(short, ensure_ascii=False)[1:-1].replace('\\"', '"')

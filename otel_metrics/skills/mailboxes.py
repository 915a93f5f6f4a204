"""How a decision of a command reaches the services that run: a mailbox each, beside the files.

A service opens its mailbox when it first starts on a folder of skill files. A command posts its
decision to every mailbox that is there; the one process of a service that holds the office takes
what is in it. A decision is so counted once by each service, however many workers it has, also when
it was made while the service did not run: then by its next start.

Posted and taken under the mailbox's lock. What is taken is gone: who is killed before its counters
are exported loses it as it loses any count, and nothing is counted twice. No link is followed, be
it in place of a mailbox or of their folder: where it leads, somebody else decides.
"""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from otel_metrics import line_files
from otel_metrics.line_files import LockTimeoutError

__all__ = ["FOLDER", "MAILBOX_BYTES_MAX", "Posted", "opened", "post", "take"]

FOLDER: Final = ".services"
"""The mailboxes' folder, in that of the skill files; no skill's file begins with a dot."""
MAILBOX_BYTES_MAX: Final = 1024 * 1024
"""A service that has left so much, thousands of decisions, is gone; it gets no more."""
TAKE_WAIT_S: Final = 0.2
"""How long a service waits for commands that are posting; else it takes what there is later."""
NAME_CHARS_MAX: Final = 60
"""Of a service's name in its mailbox's; the hash behind it tells services apart."""
_ENDING: Final = ".ndjson"


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a decision: the mailboxes that took it, and for each other one why not."""

    taken: tuple[str, ...]
    refused: Mapping[str, str]


def opened(folder: str, name: str, namespace: str) -> str:
    """Return the path of a service's mailbox, made where it is missing.

    Raises:
        OSError: it cannot be made, or is a link.
    """
    digest = hashlib.sha256(json.dumps([namespace, name]).encode()).hexdigest()[:16]
    inner = os.path.join(folder, FOLDER)
    path = os.path.join(inner, f"{quote(name, safe='')[:NAME_CHARS_MAX]}-{digest}{_ENDING}")
    line_files.make_folder(inner)
    _check_folder(inner)
    line_files.append(path, wait_s=TAKE_WAIT_S)
    return path


def post(folder: str, decision: Mapping[str, Any]) -> Posted:
    """Add a decision to every mailbox of a folder.

    Raises:
        OSError: the mailboxes cannot be listed, or their folder is a link.
    """
    line = line_files.encode(decision)
    taken: list[str] = []
    refused: dict[str, str] = {}
    for path in _mailboxes(folder):
        try:
            with line_files.locked(path) as append:
                size = os.stat(path).st_size
                if size + len(line) > MAILBOX_BYTES_MAX:
                    refused[path] = f"holds {size:,} bytes that its service has not taken"
                    continue
                append(line)
            taken.append(path)
        except OSError as error:
            refused[path] = error.strerror or str(error)
    return Posted(tuple(taken), refused)


def take(path: str) -> list[dict[str, Any]]:
    """Return what is in a mailbox, and empty it.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read or emptied, or is a link; then it is as it was.
    """
    _check_folder(os.path.dirname(path))
    if not os.lstat(path).st_size:
        return []
    try:
        return line_files.drain(path, wait_s=TAKE_WAIT_S)
    except LockTimeoutError:
        return []  # a command is posting, and takes long: the next time


def _mailboxes(folder: str) -> list[str]:
    inner = os.path.join(folder, FOLDER)
    _check_folder(inner)
    try:
        names = sorted(os.listdir(inner))
    except FileNotFoundError:
        return []
    return [os.path.join(inner, name) for name in names if name.endswith(_ENDING)]


def _check_folder(inner: str) -> None:
    if os.path.islink(inner):
        raise OSError(errno.ELOOP, f"{FOLDER} is a symbolic link; make it a folder", inner)

"""Which processes are one service: those that share a metrics page, and report the host once.

One service is the same user, `service.namespace`, `service.name` and address; without a name of its
own, also the same process tree, by its process group: what a shell, systemd or a supervisor started
as one job.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from otel_exporter_prometheus.snapshot import FORMAT

__all__ = ["Service", "is_under_way", "process_tree", "run", "service_of"]

NAME_CHARS_MAX: Final = 60
"""Of a service's name in the name of its folder; the hash behind tells services apart."""
UNNAMED: Final = "unknown_service"
"""What the SDK calls a service without a name, alone or before `:` and a program's."""

GONE: Final = "gone"
"""Stands for the start of a process that is not there, or cannot be looked at (not Linux)."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its processes know each other. `tree` is empty where the name is enough."""

    name: str
    namespace: str = ""
    tree: str = ""

    def folder(self, address: str) -> str:
        """Return the name of the folder of its processes that listen on `address`."""
        identity = [FORMAT, self.namespace, self.name, self.tree, address]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        return f"{quote(self.name, safe='')[:NAME_CHARS_MAX]}-{digest}"


def service_of(attributes: Mapping[str, object]) -> Service:
    """Return the service that a resource's attributes name."""
    name = str(attributes.get("service.name") or UNNAMED)
    unnamed = name == UNNAMED or name.startswith(f"{UNNAMED}:")
    return Service(
        name,
        str(attributes.get("service.namespace") or ""),
        process_tree() if unnamed else "",
    )


def process_tree() -> str:
    """Return what stands for this process and those that were started with it: its group."""
    return _identity(os.getpgrp())


def run() -> str:
    """Return what stands for one run of a service: the group of its processes, and who starts
    them. A worker that replaces another is of the same run, a service that is started again is of
    a new one, unless it is the same shell script that starts it."""
    return f"{process_tree()} {_identity(os.getppid())}"


def is_under_way(run: str) -> bool:
    """Tell whether a run may still have a process come: its group's first process and the starter
    of its processes are there."""
    return all(
        number.isdigit() and _identity(int(number)) == f"{number}-{started}" and started != GONE
        for number, _, started in (part.partition("-") for part in run.split())
    )


def _identity(process: int) -> str:
    """Return a process' number and when it started, since numbers are given anew."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # Behind the name, which may hold anything: the 22nd field is the time of the start.
            return f"{process}-{file.read().rpartition(b')')[2].split()[19].decode()}"
    except (OSError, IndexError):
        return f"{process}-{GONE}"

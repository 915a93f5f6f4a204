"""Which processes are one service: those that share a metrics page, and report the host once.

One service is the same user, `service.namespace`, `service.name` and address; without a name of its
own, also the same process tree: a program that was started, and what it has forked or started by
`multiprocessing`.
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from otel_exporter_prometheus.snapshot import FORMAT

__all__ = ["Service", "is_under_way", "process_tree", "service_of"]

NAME_CHARS_MAX: Final = 60
"""Of a service's name in the name of its folder; the hash behind tells services apart."""
UNNAMED: Final = "unknown_service"
"""What the SDK calls a service without a name, alone or before `:` and a program's."""

DEPTH_MAX: Final = 64
"""Forks of forks that are followed up to the first process."""
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
    """Return what stands for this process and all that one start of a program led to: its first
    process, by number and time of start.

    A worker that replaces another is of the same tree; a program that is started again is not.
    """
    spawner = multiprocessing.parent_process()
    first = os.getpid() if spawner is None or spawner.pid is None else spawner.pid
    for _ in range(DEPTH_MAX):
        parent = _parent_without_exec(first)
        if parent is None:
            break
        first = parent
    return _identity(first)


def is_under_way(tree: str) -> bool:
    """Tell whether a tree may still have a process come: its first one is there."""
    number, _, started = tree.partition("-")
    return number.isdecimal() and started != GONE and _identity(int(number)) == tree


def _identity(process: int) -> str:
    """Return a process' number and when it started, since numbers are given anew."""
    fields = _stat(process)
    return f"{process}-{fields[19] if fields else GONE}"


def _parent_without_exec(process: int) -> int | None:
    """Return the parent of which a process is a plain fork: its stack begins where the parent's
    does, which every start of a program puts somewhere else."""
    fields = _stat(process)
    parent = int(fields[1]) if fields else 0
    inherited = _stat(parent) if parent > 1 else []
    same = bool(inherited) and fields[25] != "0" and inherited[25] == fields[25]
    return parent if same else None


def _stat(process: int) -> list[str]:
    """Return the fields of `/proc/<process>/stat` behind the name, which may hold anything; the
    first is the third of proc(5). Empty where there is no such process, or this is not Linux."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].decode("ascii", "replace").split()
    except OSError:
        return []
    return fields if len(fields) > 25 else []

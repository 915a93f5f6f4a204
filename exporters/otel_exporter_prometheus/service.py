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

__all__ = ["Service", "process_tree", "service_of"]

NAME_CHARS_MAX: Final = 60
"""Of a service's name in the name of its folder; the hash behind tells services apart."""
UNNAMED: Final = "unknown_service"
"""What the SDK calls a service without a name, alone or before `:` and a program's."""


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


def process_tree(group: int | None = None) -> str:
    """Return what stands for this process and those that were started with it: its process group,
    with the start of the group's first process, since numbers are given anew."""
    group = os.getpgrp() if group is None else group
    try:
        with open(f"/proc/{group}/stat", "rb") as file:
            # Behind the name, which may hold anything: the 22nd field is the time of the start.
            started = file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        started = "gone"
    return f"{group}-{started}"

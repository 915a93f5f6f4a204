"""The files of a service with playbooks: what they are bound to, ledger, key, archive, actors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from otel_exporter_ndjson.sealkey import new_key_text, read_key
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.remediation_audit import RemediationAudit
from otel_metrics.catalog.loader import builtin
from otel_metrics.remediation import configuration
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.model import Configuration
from otel_metrics.service.samples import Resource

__all__ = ["TOKENS", "Shop"]

TOKENS: Final = {
    name: f"{name}-0123456789abcdef" for name in ("ann", "bob", "alertmanager", "board", "root")
}
ROLES: Final = {
    "ann": "approve",
    "bob": "approve",
    "alertmanager": "alert",
    "board": "read",
    "root": "admin",
}
HOSTS: Final = ("web-1", "web-2", "web-3")
PROGRAM: Final = """#!/bin/sh
# Writes down how it was called.
echo "$@" >> {folder}/did
"""
PLAYBOOKS: Final = """
enabled: true
programs: [{program}]
policy:
  - {{playbook: migrate-workloads, decision: refuse}}
  - {{tier: 1, decision: run}}
  - {{tier: 2, decision: run}}
playbooks:
  shift-load:
    enabled: true
    parameters: {{target: web-9}}
    steps: [{{program: {{path: {program}, arguments: [shift, "${{target}}"]}}}}]
  scale-nodes:
    enabled: true
    steps: [{{program: {{path: {program}, arguments: [nodes, "${{nodes}}"]}}}}]
  migrate-workloads:
    enabled: true
    parameters: {{target: web-9}}
    steps: [{{program: {{path: {program}, arguments: [migrate]}}}}]
"""
"""One of tier 2 that runs, one of tier 3 that needs an approval, one that the policy refuses."""


class Shop:
    """Writes the files in a folder that nobody else may change.

    Attributes:
        playbooks, db, archive, key, actors: the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / "act"
        program.write_text(PROGRAM.format(folder=folder))
        program.chmod(0o700)
        self.playbooks = self._private("playbooks.yaml", PLAYBOOKS.format(program=program))
        self.key = self._private("key", new_key_text())
        lines = [f"{name}:{ROLES[name]}:{token}\n" for name, token in TOKENS.items()]
        self.actors = self._private("actors", "".join(lines))
        self.db = folder / "remediation.db"
        self.archive = folder / "telemetry"

    def did(self) -> list[str]:
        """Return how the program was called, call by call."""
        file = self._folder / "did"
        return file.read_text().splitlines() if file.exists() else []

    def configuration(self) -> Configuration:
        """Read the operator's file."""
        catalog = builtin()
        return configuration.read(
            self.playbooks,
            playbooks=catalog.playbooks,
            metrics=catalog.metrics,
            stop_file=f"{self.db}.stop",
        )

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Give an engine whose thread runs, as a service has it; it knows `HOSTS`."""
        settings = Settings(path=str(self.archive))
        audit = RemediationAudit(settings, key=read_key(self.key), service="shop")
        found = self.configuration()
        engine = Engine(
            lambda: found,
            builtin().playbooks,
            ledger_path=self.db,
            audit=audit,
            entries=audit.entries,
            known_targets=lambda: [Resource("host", host) for host in HOSTS],
        )
        engine.start()
        try:
            yield engine
        finally:
            engine.stop(monotonic() + 30.0)
            audit.close()

    def _private(self, name: str, text: str) -> Path:
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(text)
        return file

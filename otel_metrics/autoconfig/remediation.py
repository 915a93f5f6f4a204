"""Puts together what acts on service telemetry: the operator's file, the audit, the engine.

Threads: `OperatorFile.current` is called by any thread; its lock lets one of them read.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Container, Mapping
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from otel_exporter_ndjson.errors import NdjsonError
from otel_exporter_ndjson.sealkey import read_key
from otel_exporter_prometheus.privatefile import Identity, identity
from otel_metrics import instruments
from otel_metrics.archive.remediation_audit import RemediationAudit
from otel_metrics.autoconfig.settings import Settings
from otel_metrics.catalog.model import Playbook
from otel_metrics.errors import ConfigurationError
from otel_metrics.remediation import configured
from otel_metrics.remediation.configuration import ConfigurationProblems, read
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.model import Configuration, Request
from otel_metrics.remediation.verification import Latest
from otel_metrics.service.samples import Recommendation
from otel_metrics.service.samples import Resource as Target
from otel_metrics.service.snapshots import of_recommendation

__all__ = ["OperatorFile", "Remediation", "assemble_remediation", "check_operator_file"]

FILE: Final = "OTEL_PYTHON_METRICS_PLAYBOOKS"
LEDGER: Final = "OTEL_PYTHON_METRICS_REMEDIATION_DB"
EVIDENCE: Final = ("recommendation_id", "metric_id", "band", "confidence", "observed_at")
"""What the audit says of a recommendation, besides its values."""
LOOK_INTERVAL_S: Final = 1.0
"""How soon a change of the operator's file is seen."""

_logger = logging.getLogger("otel_metrics.autoconfig")


class OperatorFile:
    """What the operator's file says now. One that turns bad says nothing until it is right again,
    so that nothing runs by rules that somebody meant to change."""

    def __init__(self, path: str, playbooks: Mapping[str, Playbook], stop_file: str) -> None:
        self._path = path
        self._playbooks = playbooks
        self._stop_file = stop_file
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._seen: Identity | None = None
        self._was_read = self._is_bad = False
        self._configuration: Configuration | None = None

    def current(self) -> Configuration | None:
        """Return the file's content; None while it cannot be used."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at >= LOOK_INTERVAL_S:
                self._looked_at = now
                self._look()
            return self._configuration

    def _look(self) -> None:
        seen = identity(self._path)
        if self._was_read and seen == self._seen and not self._is_bad:
            return
        changed, self._seen, self._was_read = seen != self._seen, seen, True
        try:
            self._configuration = read(
                self._path,
                playbooks=self._playbooks,
                metrics=instruments.catalog().metrics,
                stop_file=self._stop_file,
                ledger_folder=os.path.dirname(os.path.abspath(self._stop_file)),
            )
        except ConfigurationProblems as error:
            self._configuration = None
            if changed or not self._is_bad:
                _logger.error(
                    "%s=%s: no playbook runs until it is right: %s", FILE, self._path, error
                )
            self._is_bad = True
            return
        if self._is_bad:
            _logger.warning("%s=%s: is right again", FILE, self._path)
        self._is_bad = False

    def after_fork(self) -> None:
        """Begin with a lock that nobody holds, in a forked child."""
        self._lock = threading.Lock()


class Remediation:
    """What acts in this process."""

    def __init__(self, file: OperatorFile, engine: Engine, audit: RemediationAudit | None) -> None:
        self.engine = engine
        self._file = file
        self._audit = audit

    def start(self) -> None:
        """Let doors find the engine, and start its thread."""
        self._file.current()  # what is wrong with it is said at start-up
        configured.use(self.engine)
        self.engine.start()

    def recommend(self, recommendation: Recommendation) -> None:
        """Hand a recommendation on to the engine; never waits."""
        self.engine.submit(
            Request(
                playbook=recommendation.playbook,
                parameters={},
                target=recommendation.resource,
                actor="recommendation",
                reason=recommendation.reason,
                key=recommendation.id,
                metric=recommendation.metric,
                band=recommendation.band,
                evidence=_evidence(recommendation),
            )
        )

    def stop(self, deadline_s: float) -> None:
        """Begin nothing more, and wait for what runs until that reading of the monotonic clock."""
        configured.use(None)
        is_idle = self.engine.stop(deadline_s)
        if self._audit is not None and is_idle:  # else the next start seals it
            self._audit.close(deadline_s - time.monotonic())

    def after_fork(self) -> None:
        """Begin anew in a forked child: what its parent runs is the parent's."""
        self._file.after_fork()
        if self._audit is not None:
            self._audit.after_fork()
        self.engine.after_fork()


def check_operator_file(settings: Settings, playbooks: Mapping[str, Playbook]) -> None:
    """Read the operator's file for its faults alone.

    Raises:
        ConfigurationError: it has some.
    """
    if settings.playbooks is not None:
        try:
            read(settings.playbooks, playbooks=playbooks, metrics=instruments.catalog().metrics)
        except ConfigurationProblems as error:
            raise ConfigurationError(str(error)) from error


def assemble_remediation(
    settings: Settings,
    made_of: Resource,
    *,
    latest: Latest,
    known_targets: Callable[[], Container[Target]],
) -> Remediation | None:
    """Return what acts, or None where no file or no ledger is named.

    Args:
        latest: the newest sample of a metric of a resource.
        known_targets: what something may be done to.
    """
    if settings.playbooks is None:
        return None
    if settings.remediation_db is None:
        _logger.warning(
            "%s=%s: nothing runs without a ledger; set %s", FILE, settings.playbooks, LEDGER
        )
        return None
    playbooks = instruments.catalog().playbooks
    file = OperatorFile(settings.playbooks, playbooks, f"{settings.remediation_db}.stop")
    service = str(made_of.attributes.get(SERVICE_NAME) or "unknown_service")
    audit = _audit(settings, service)
    engine = Engine(
        file.current,
        playbooks,
        ledger_path=settings.remediation_db,
        audit=audit,
        entries=None if audit is None else audit.entries,
        latest=latest,
        known_targets=known_targets,
        stop=settings.remediation_stop,
        service=service,
    )
    return Remediation(file, engine, audit)


def _evidence(recommendation: Recommendation) -> dict[str, object]:
    """Return what a recommendation follows from, by the names of its event."""
    record = of_recommendation(recommendation)
    kept = {name: record[name] for name in EVIDENCE}
    return {**kept, "values": list(recommendation.values)}


def _audit(settings: Settings, service: str) -> RemediationAudit | None:
    """Return where the audit goes; without a key there is none, and every run is a dry run."""
    key_file = settings.ndjson.seal_key_file
    if key_file is None:
        _logger.warning(
            "%s=%s: dry runs only, since the audit is not sealed; set "
            "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE to what `otel-metrics archive keygen` makes",
            FILE,
            settings.playbooks,
        )
        return None
    try:
        key = read_key(key_file)
    except (OSError, NdjsonError) as error:
        _logger.error("%s=%s: dry runs only: %s", FILE, settings.playbooks, error)
        return None
    return RemediationAudit(settings.ndjson, key=key, service=service)

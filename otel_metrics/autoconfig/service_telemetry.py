"""Service telemetry with the service: sources are sampled, windows kept, playbooks recommended.

It begins at start-up where a variable asks for it, and otherwise with the first function that is
registered as a source.

Threads: `begin_if_wanted` runs on the thread that configures or registers, guarded by `_lock`. The
parts have threads of their own; see each.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource

from otel_metrics import instruments
from otel_metrics.autoconfig.settings import Settings
from otel_metrics.pipeline.election import Election
from otel_metrics.service import registry
from otel_metrics.service.samples import Resource as Target

if TYPE_CHECKING:
    from otel_metrics.autoconfig.remediation import Remediation
    from otel_metrics.service.keeper import Keeper
    from otel_metrics.service.sampler import Sampler
    from otel_metrics.service.samples import Recommendation

__all__ = ["ServiceTelemetry"]

SHARE_OF_EXIT: Final = 0.5
"""What stopping takes at most of an exit's time; the rest is for the last export."""

_logger = logging.getLogger("otel_metrics.autoconfig")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What runs once service telemetry has begun."""

    sampler: "Sampler"
    keeper: "Keeper"
    remediation: "Remediation | None"


class ServiceTelemetry:
    """The service telemetry of a process.

    Args:
        settings: say what of it is wanted.
        made_of: the resource of this service.
        service: its name.
        office: held by the one process of the service that asks shared sources.
        collect: a collection of this process's own metrics, begun after the call.
    """

    def __init__(
        self,
        settings: Settings,
        made_of: Resource,
        *,
        service: str,
        office: Election,
        collect: Callable[[], MetricsData | None],
    ) -> None:
        self._settings = settings
        self._made_of = made_of
        self._service = service
        self._office = office
        self._collect = collect
        self._lock = threading.Lock()
        self._is_over = False
        self._parts: _Parts | None = None

    def begin_if_wanted(self) -> None:
        """Begin now, or with the first function that is registered."""
        registry.listen(self._begin)
        settings = self._settings
        asked = (
            settings.service_db,
            settings.service_sql_url,
            settings.service_prometheus_url,
            settings.playbooks,
        )
        if any(asked) or registry.functions():
            self._begin()

    def at_work(self) -> list[threading.Lock]:
        """Return what a fork takes, so that no thread is copied at work."""
        parts = self._parts
        if parts is None:
            return [self._lock]
        locks = [self._lock, parts.sampler.at_work, parts.keeper.at_work]
        return locks if parts.remediation is None else [*locks, parts.remediation.engine.at_work]

    def stop(self, deadline_s: float) -> None:
        """Sample and act no more; keep what was sampled, until that reading of the monotonic clock.

        What runs of a playbook is ended, so that no process outlives who answers for it.
        """
        registry.listen(None)
        with self._lock:
            self._is_over = True
            parts = self._parts
        if parts is None:
            return
        now_s = time.monotonic()
        deadline_s = now_s + (deadline_s - now_s) * SHARE_OF_EXIT
        parts.sampler.stop(deadline_s)
        if parts.remediation is not None:
            parts.remediation.stop(deadline_s)
        parts.keeper.stop(deadline_s)

    def end(self) -> None:
        """Give up the office and let pages know of no values any more."""
        self._office.resign()
        if self._parts is not None:
            from otel_metrics.service import configured

            configured.use(None)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self._office.after_fork()
        parts = self._parts
        if parts is None or self._is_over:
            return
        parts.keeper.after_fork()
        if parts.remediation is not None:
            parts.remediation.after_fork()
        parts.sampler.after_fork()

    def _begin(self) -> None:
        with self._lock:
            if self._parts is not None or self._is_over:
                return
            try:
                self._parts = self._assembled()
            except Exception:  # a broken part must not stop the service
                self._is_over = True
                _logger.warning("service telemetry: not started", exc_info=True)
                return
            parts = self._parts
        parts.keeper.start()
        if parts.remediation is not None:
            parts.remediation.start()
        parts.sampler.start()

    def _recommend(self, found: "Recommendation") -> None:
        """Hand a recommendation on to what acts, where something does."""
        parts = self._parts
        if parts is not None and parts.remediation is not None:
            parts.remediation.recommend(found)

    def _assembled(self) -> _Parts:
        # Deferred: SQLite, psutil and what asks sources, for those who want them.
        from otel_metrics.autoconfig.remediation import assemble_remediation
        from otel_metrics.host.figures import Figures
        from otel_metrics.service import configured
        from otel_metrics.service.keeper import Keeper
        from otel_metrics.service.sampler import Sampler
        from otel_metrics.service.store import ServiceStore

        settings, metrics = self._settings, instruments.catalog().metrics
        store = None if settings.service_db is None else ServiceStore(settings.service_db)
        keeper = Keeper(
            metrics,
            window_s=settings.service_window_s,
            store=store,
            on_recommendation=self._recommend,
        )
        sampler = Sampler(
            metrics,
            collect=self._collect,
            elected=self._office.won,
            variables=_variables(settings),
            on_sample=keeper.take,
            on_missed=keeper.missed,
            resource_ids={"service": self._service, "host": socket.gethostname()},
            host=Figures(),
        )
        remediation = assemble_remediation(
            settings,
            self._made_of,
            latest=sampler.table.sample,
            known_targets=lambda: _Targets(keeper),
        )
        configured.use(keeper)
        return _Parts(sampler=sampler, keeper=keeper, remediation=remediation)


_VARIABLES: Final = {
    "OTEL_PYTHON_METRICS_SERVICE_SQL_URL": "service_sql_url",
    "OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL": "service_prometheus_url",
}


def _variables(settings: Settings) -> dict[str, str]:
    """Return where URLs are looked up: the settings', and variables that entries name."""
    ours = {name: getattr(settings, field) or "" for name, field in _VARIABLES.items()}
    return {**os.environ, **ours}


class _Targets:
    """Every resource that has or had a value. Each is looked up by itself: there may be many, and a
    webhook of a thousand alerts asks a thousand times."""

    def __init__(self, keeper: "Keeper") -> None:
        self._keeper = keeper

    def __contains__(self, target: object) -> bool:
        return isinstance(target, Target) and self._keeper.knows(target)

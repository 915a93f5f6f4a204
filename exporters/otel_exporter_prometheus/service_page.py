"""The page of a service, on one port that all its processes share: `ServicePage`.

Puts together what the files beside this one do: the page (`page.py`), what processes publish to
each other (`workers.py`), who has the port (`ownership.py`) and the server (`server.py`).
"""

import dataclasses
import os
import secrets
import threading
from collections.abc import Callable, Mapping

from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.health import STALLED_AFTER_S
from otel_exporter_prometheus.merge import Rule
from otel_exporter_prometheus.ownership import Ownership
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.server import MetricsServer
from otel_exporter_prometheus.service import Service, process_tree
from otel_exporter_prometheus.settings import Settings

__all__ = ["ServicePage"]

STOP_TIMEOUT_S = 0.5
"""What responses under way have when the page is closed, where nothing else is said."""


class ServicePage:
    """The page of one process of a service.

    Args:
        collect, scope_labels, rules, timed: as for `Page`.
        settings: where to listen, and who may read.
        service: whose page it is.
        listen: whether it has a port. Without, it is for who serves it in another way, and is of
            one process tree, since there is no address that tells two of a name apart.
        stalled_after_s: how old the last collection may be until telemetry is unwell.

    Attributes:
        page: what is shown, for who serves it in another way.
    """

    def __init__(
        self,
        collect: Callable[[], MetricsData | None],
        settings: Settings,
        service: Service,
        *,
        listen: bool = True,
        scope_labels: bool = False,
        rules: Mapping[str, Rule] = {},
        timed: Callable[[str], bool] = lambda _: False,
        stalled_after_s: float = STALLED_AFTER_S,
    ) -> None:
        self._settings = settings
        self._listens = listen
        self._stalled_after_s = stalled_after_s
        folder = service.folder(_address(settings) if listen else process_tree())
        self.page = Page(
            collect, folder=folder, scope_labels=scope_labels, rules=rules, timed=timed
        )
        self._server: MetricsServer | None = None
        self._ownership = Ownership(folder, service.name, self._open, self._close)

    @property
    def port(self) -> int | None:
        """The port of the page; None where this process should have it and could not open it."""
        if self._server is not None:
            return self._server.port
        closed = not self._listens or self._settings.refusal is not None
        return None if closed or not self._ownership.waiting else self._settings.port

    @property
    def at_work(self) -> tuple[threading.Lock, ...]:
        """Locks that a fork takes, in this order, so that nothing is copied half done."""
        return (self._ownership.at_work, self.page.at_work)

    def start(self) -> None:
        """Show this process on the page, and open the port where no other process has it.

        Raises:
            ListenError: this process should have the port, and cannot open it, or must not. The
                page goes on being shared, and it is tried again.
        """
        self.page.start()
        try:
            self._ownership.start()
        except ListenError:
            raise
        except OSError:  # no folder to share: `page` says so; the port is for who comes first
            self._open()

    def stop(self, final: MetricsData | None = None, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Close the page of this process; another that is there takes the port over.

        Args:
            final: what this process has recorded until its end, for the others' pages.
            timeout_s: for responses under way.
        """
        self.page.publish(final)  # first, as the rest may take its time
        self._ownership.stop()  # from here on no port is opened any more
        server = self._server
        if server is not None:
            server.stop(timeout_s)
        self.page.stop()

    def after_fork(self) -> None:
        """Let go, in a forked child, of everything that is the parent's."""
        self._ownership.after_fork()
        if self._server is not None:
            self._server.after_fork()
            self._server = None
        self.page.after_fork()

    def _open(self) -> int | None:
        """Open the port where it is not open, and look after what ended processes leave."""
        self.page.folds = True
        if not self._listens:
            return None
        if self._server is not None:
            if self._server.is_running:
                return self._server.port
            self._server.abandon()
        server = MetricsServer(self.page, self._settings, stalled_after_s=self._stalled_after_s)
        server.start()
        self._server = server
        self._settings = dataclasses.replace(self._settings, port=server.port)
        return server.port

    def _close(self) -> None:
        """Leave the port and what ended processes left to another process."""
        self.page.folds = False
        if self._server is not None:
            self._server.stop(STOP_TIMEOUT_S)
            self._server = None


def _address(settings: Settings) -> str:
    """Return what tells pages of one service apart."""
    # With port 0 the port is whatever is free: only forked children know it.
    private = f"-{os.getpid()}-{secrets.token_hex(4)}" if settings.port == 0 else ""
    return f"{settings.host.lower()}:{settings.port}{private}"

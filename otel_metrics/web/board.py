"""What `/ws/sovereignty` shows: a store of sovereignty, as one hub for all who watch in a process.

Threads: any thread asks; `_lock` guards which store is shown.
"""

import threading

from otel_metrics.sovereignty import NoStoreError, SovereigntyStore
from otel_metrics.sovereignty.configured import current
from otel_metrics.sovereignty.live import Hub
from otel_metrics.web.live import NothingToShowError

__all__ = ["Board"]


class Board:
    """Finds what to show each time that somebody asks, since telemetry may start later.

    Args:
        path: the store's database; None for the one of the telemetry that runs.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._shown: tuple[SovereigntyStore, Hub] | None = None

    def hub(self) -> Hub:
        """Return the hub of the store.

        Raises:
            NothingToShowError: there is none.
        """
        with self._lock:
            store = self._store()
            if self._shown is None or self._shown[0] is not store:
                self._shown = store, Hub(store.snapshot)
            return self._shown[1]

    def _store(self) -> SovereigntyStore:
        if self._path is None:
            try:
                return current()
            except NoStoreError:
                raise NothingToShowError(
                    "no store: set OTEL_PYTHON_METRICS_SOVEREIGNTY_DB and call configure()"
                ) from None
        if self._shown is not None:
            return self._shown[0]
        try:
            return SovereigntyStore(self._path)
        except ValueError as error:  # another program's file; its path is nobody's business
            raise NothingToShowError("the database is not one of sovereignty") from error

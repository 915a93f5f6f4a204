"""Windows of one process where no file keeps them: what is open when it ends is lost.

Threads: any; `_lock` guards all of it, and no event is emitted under it.
"""

import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from otel_metrics.service.samples import BandName, Recommendation, Resource
from otel_metrics.service.snapshots import (
    Action,
    Latest,
    Over,
    Plan,
    Snapshot,
    action_of,
    id_of,
    of_snapshot,
    snapshot_of,
)
from otel_metrics.service.store import AHEAD_S, GRACE_S, LATEST_MAX, SILENT_S, Emit
from otel_metrics.service.windows import Entry, Observation, Window, as_late, window_of

__all__ = ["MemoryStore"]

ENTRIES_MAX: Final = 200_000
"""What open windows may hold together."""
CLOSED_MAX: Final = 50_000
"""Closed windows that are remembered, so that what comes too late for them is told."""


class _Open:
    """A window that is open."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.entries: list[Entry] = []
        self.actions: list[Action] = []


class MemoryStore:
    """Windows in memory; the methods are those of `ServiceStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Over, _Open] = {}
        self._entries = 0
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._snapshots: deque[Snapshot] = deque()
        self._latest: OrderedDict[tuple[str, str], Latest] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Whether open windows hold so much that no more should be added."""
        return self._entries >= ENTRIES_MAX

    def add(
        self, observations: Sequence[Observation], *, now: float, length_s: int, wait_s: float
    ) -> list[bool]:
        """Keep what counts in windows of that length; tell of each whether it came too late."""
        del wait_s
        with self._lock:
            return [self._add(seen, now, length_s) for seen in observations]

    def bands_in(
        self, metric: str, resource_id: str, window: Window, *, wait_s: float
    ) -> Counter[BandName | None]:
        """Return how many samples of an open window lie in each band."""
        del wait_s
        with self._lock:
            found = self._open.get(Over(metric, resource_id, window))
            entries = [] if found is None else found.entries
            return Counter(entry.band for entry in entries if entry.kind == "sample")

    def recommend(self, recommendation: Recommendation, *, wait_s: float) -> None:
        """Keep what is to be a derived action of the snapshot of its window."""
        del wait_s
        with self._lock:
            for of, found in self._open.items():
                if (of.metric, of.resource_id) == (
                    recommendation.metric,
                    recommendation.resource.id,
                ) and of.window.start <= recommendation.observed_at < of.window.end:
                    found.actions.append(action_of(recommendation))

    def close_due(
        self, *, now: float, length_s: int, plan: Callable[[str], Plan], wait_s: float
    ) -> bool:
        """Close windows that are over; there are no more."""
        del wait_s
        before = window_of(max(0.0, now - GRACE_S), length_s).start
        with self._lock:
            beyond = now + AHEAD_S
            due = [of for of in self._open if of.window.end <= before or of.window.start > beyond]
            for of in sorted(due, key=lambda of: of.window.end):
                self._close(of, self._open.pop(of), now, plan(of.metric))
        return False

    def announce(self, emit: Emit, *, wait_s: float, deadline_s: float = math.inf) -> bool:
        """Emit the events of snapshots, and tell whether there are more: after that reading of the
        monotonic clock none is begun."""
        del wait_s
        while time.monotonic() < deadline_s:
            with self._lock:
                if not self._snapshots:
                    return False
                snapshot = self._snapshots.popleft()
            emit("service.snapshot", of_snapshot(snapshot))
        return True

    def forget(self, now: float, *, wait_s: float) -> bool:
        """Forget the newest values of what gave none for long; there is no more to forget."""
        del wait_s
        with self._lock:
            for key, known in list(self._latest.items()):
                if max(known.observed_at or 0.0, known.missing_since or 0.0) < now - SILENT_S:
                    del self._latest[key]
        return False

    def latest(self) -> list[Latest]:
        """Return what is known last of each metric and resource."""
        with self._lock:
            return [self._latest[key] for key in sorted(self._latest)]

    def knows(self, resource: Resource) -> bool:
        """Tell whether a resource has or had a value."""
        with self._lock:
            return any(
                known.resource == resource and known.observed_at is not None
                for known in self._latest.values()
            )

    def close(self, deadline_s: float | None = None) -> None:
        """Do nothing: there is no file."""
        del deadline_s

    def _add(self, seen: Observation, now: float, length_s: int) -> bool:
        window = window_of(seen.entry.at, length_s)
        is_late = self._is_closed(seen, window)
        if is_late:
            at, window = now, window_of(now, length_s)
            while self._is_closed(seen, window):
                at, window = window.end, window_of(window.end, length_s)
            seen = as_late(seen, at)
        self._note(seen)
        of = Over(seen.metric, seen.resource.id, window)
        self._open.setdefault(of, _Open(seen.resource)).entries.append(seen.entry)
        self._entries += 1
        return is_late

    def _is_closed(self, seen: Observation, window: Window) -> bool:
        return id_of(seen.metric, seen.resource.id, window) in self._closed

    def _note(self, seen: Observation) -> None:
        entry, key = seen.entry, (seen.metric, seen.resource.id)
        if entry.kind == "sample":
            self._latest[key] = Latest(
                metric=seen.metric,
                resource=seen.resource,
                value=entry.value,
                band=entry.band,
                observed_at=entry.at,
            )
        elif entry.kind != "late":
            known = self._latest.get(key) or Latest(metric=seen.metric, resource=seen.resource)
            since = entry.at if known.missing_since is None else known.missing_since
            self._latest[key] = replace(known, missing_since=since, missing_reason=seen.reason)
        if key in self._latest:
            self._latest.move_to_end(key)
        if len(self._latest) > LATEST_MAX:
            self._latest.popitem(last=False)

    def _close(self, of: Over, found: _Open, now: float, plan: Plan) -> None:
        self._entries -= len(found.entries)
        entries = sorted(found.entries, key=lambda entry: entry.at)
        snapshot = snapshot_of(of, found.resource, entries, found.actions, plan=plan, now=now)
        self._closed[snapshot.id] = None
        if len(self._closed) > CLOSED_MAX:
            self._closed.popitem(last=False)
        self._snapshots.append(snapshot)

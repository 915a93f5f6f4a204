"""Registers the catalog's observable instruments over the plain numbers that the pipeline keeps."""

from collections import Counter
from collections.abc import Iterable

from otel_metrics.autoconfig.exporters import Exporters
from otel_metrics.executions import folder as execution_files
from otel_metrics.executions.store import EXECUTION_FILES
from otel_metrics.instruments import Measured, observe
from otel_metrics.pipeline.hub import Hub
from otel_metrics.pipeline.lanes import LaneStats
from otel_metrics.pipeline.logs import StoreProcessor
from otel_metrics.skills import folder as skill_files
from otel_metrics.skills.store import SKILL_FILES

__all__ = ["observe_pipeline"]


def observe_pipeline(hub: Hub, exporters: Exporters) -> None:
    """Let the pipeline be seen: its progress, its lanes, the archive and the page."""

    def lanes() -> list[LaneStats]:
        stats = [lane.stats() for lane in hub.lanes]
        return [*stats, exporters.event_lane.stats()] if exporters.event_lane else stats

    observe("pipeline.progress.age", lambda: [(hub.progress_age_s, {})])
    observe(
        "delivery.state",
        lambda: [
            *((int(s.up), {"exporter": s.name}) for s in lanes()),
            *((int(s.up), {"exporter": s.store.name}) for s in exporters.stores),
        ],
    )
    observe("delivery.skipped", lambda: [(s.skipped, {"exporter": s.name}) for s in lanes()])
    observe("delivery.rejected", lambda: _rejected(lanes(), exporters.stores))
    if exporters.archive is not None:
        _observe_archive(exporters)
    observe("prometheus.scrape.errors", lambda: _scrape_errors(exporters))


def _rejected(lanes: Iterable[LaneStats], stores: Iterable[StoreProcessor]) -> Measured:
    """Return what was left out, of files also what a service appends to them itself."""
    totals: Counter[tuple[str, str]] = Counter()
    for lane in lanes:
        totals.update({(lane.name, reason): total for reason, total in lane.rejected.items()})
    for processor in stores:
        name = processor.store.name
        totals.update({(name, reason): total for reason, total in processor.lost.items()})
    for name, lost in (
        (SKILL_FILES, skill_files.LOST),
        (EXECUTION_FILES, execution_files.LOST),
    ):
        totals.update({(name, reason): total for reason, total in lost.read().items()})
    return [
        (total, {"exporter": name, "reason": reason}) for (name, reason), total in totals.items()
    ]


def _observe_archive(exporters: Exporters) -> None:
    def stats() -> list[tuple[str, object]]:
        both = (("metrics", exporters.archive), ("events", exporters.event_archive))
        return [(signal, exporter.stats()) for signal, exporter in both if exporter is not None]

    def read(field: str) -> Measured:
        return [(getattr(kept, field), {"signal": signal}) for signal, kept in stats()]

    def read_by(field: str, key: str) -> Measured:
        return [
            (total, {key: kind, "signal": signal})
            for signal, kept in stats()
            for kind, total in getattr(kept, field).items()
        ]

    observe("archive.records", lambda: read("records"))
    observe("archive.bytes", lambda: read("bytes"))
    observe("archive.segments.sealed", lambda: read("segments_sealed"))
    observe("archive.head.sequence", lambda: read("head_sequence"))
    observe("archive.errors", lambda: read_by("errors", "error.type"))
    observe("archive.dropped", lambda: read_by("dropped", "reason"))


def _scrape_errors(exporters: Exporters) -> Measured:
    if exporters.page is None:
        return []
    return [
        (total, {"error.type": kind}) for kind, total in exporters.page.page.stats().errors.items()
    ]

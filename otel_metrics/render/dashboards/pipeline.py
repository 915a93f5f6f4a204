"""Host and pipeline: is all of it delivered and kept, and does the machine bear it."""

from otel_metrics.render.dashboards import host
from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.dashboards.colours import LOST, STATE
from otel_metrics.render.limits import STALLED_AFTER_S
from otel_metrics.render.panels import Dashboard, Panel, Row, Steps, banded, stat, timeseries
from otel_metrics.render.promql import EVENTS_LANE

__all__ = ["dashboard"]

INSTANCE = "{{instance}}"
STALLED: Steps = (("green", None), ("red", STALLED_AFTER_S))


def dashboard(ask: Asking) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        name="host-and-pipeline",
        title="Host and pipeline",
        description="Is all telemetry delivered and kept, and does the machine bear the work?",
        variables=(ask.service, ask.instance),
        rows=(
            Row("Now", _figures(ask)),
            Row("Delivery", _delivery(ask)),
            Row("Archive", _archive(ask)),
            Row("What was not recorded", _lost(ask)),
            *host.rows(ask),
        ),
    )


def _figures(ask: Asking) -> tuple[Panel, ...]:
    disk, memory, cpu = (
        ask.metric(f"system.{part}.utilization") for part in ("filesystem", "memory", "cpu")
    )
    used = ask.each("system.memory.utilization", where={"system.memory.state": "=used"})
    return (
        stat(
            "Exporters down",
            f"count({ask.each('delivery.state')} == 0) or vector(0)",
            "none",
            "Exporters that deliver nothing now.",
            steps=LOST,
        ),
        stat(
            "Oldest collection",
            f"max({ask.each('pipeline.progress.age')})",
            "s",
            "Time since the last collection that ended, of the instance where that is longest.",
            steps=STALLED,
        ),
        stat(
            "Archive a day",
            f"86400 * sum({ask.recorded('job_signal:archive_bytes:rate5m')})",
            "bytes",
            "What the archive would grow by in a day at the rate of now, before compression.",
        ),
        stat(
            "Fullest disk",
            f"max({ask.each('system.filesystem.utilization')})",
            "percentunit",
            "Space in use, of the filesystem with the least left.",
            steps=banded(disk),
        ),
        stat(
            "Memory",
            f"max({used})",
            "percentunit",
            "Memory in use, of the limit where there is one, on the fullest host.",
            steps=banded(memory),
        ),
        stat(
            "CPU",
            f"max({ask.cpu_used()})",
            "percentunit",
            "CPUs in use, of the limit where there is one, on the busiest host.",
            steps=banded(cpu),
        ),
    )


def _delivery(ask: Asking) -> tuple[Panel, ...]:
    exported = ask.each_rate(
        "otel.sdk.exporter.metric_data_point.exported", by="otel_component_name, error_type"
    )
    logs = ask.each_rate("otel.sdk.exporter.log.exported", by="otel_component_name, error_type")
    return (
        timeseries(
            "Exporters",
            {"{{exporter}} {{instance}}": ask.each("delivery.state")},
            "none",
            "1 while an exporter delivers, 0 while it does not.",
            steps=STATE,
        ),
        timeseries(
            "Collections",
            {INSTANCE: ask.each("pipeline.progress.age")},
            "s",
            "Time since the last collection that ended; dashed, where it stands still.",
            steps=STALLED,
        ),
        timeseries(
            "Points exported",
            {"{{otel_component_name}} {{error_type}}": exported},
            "ops",
            "Points whose export has ended a second; with an error where it failed.",
        ),
        timeseries(
            "Events exported",
            {"{{otel_component_name}} {{error_type}}": logs},
            "ops",
            "Events whose export has ended a second; with an error where it failed.",
        ),
        timeseries(
            "Export, 95th percentile",
            {
                "{{otel_component_name}}": ask.quantile(
                    "otel.sdk.exporter.operation.duration", by="otel_component_name"
                )
            },
            "s",
            "Time that 95 % of the exports stay under.",
        ),
        timeseries(
            "Skipped and left out",
            {
                "{{exporter}} skipped": ask.each_rate(
                    "delivery.skipped", by="exporter", where={"exporter": f"!{EVENTS_LANE}"}
                ),
                "{{exporter}} queue full": ask.each_rate(
                    "delivery.skipped", by="exporter", where={"exporter": f"={EVENTS_LANE}"}
                ),
                "{{exporter}} {{reason}}": ask.each_rate(
                    "delivery.rejected", by="exporter, reason"
                ),
            },
            "ops",
            "A second: batches that a newer one replaced, which loses nothing (skipped); events "
            "that found the queue full, and what was left out, which an exporter never gets.",
        ),
    )


def _archive(ask: Asking) -> tuple[Panel, ...]:
    signal = "{{signal}}"
    return (
        timeseries(
            "Growth",
            {signal: ask.recorded("job_signal:archive_bytes:rate5m")},
            "Bps",
            "Bytes written a second, before compression.",
            stacked=True,
        ),
        timeseries(
            "Records",
            {signal: ask.each_rate("archive.records", by="signal")},
            "ops",
            "Records written a second.",
            stacked=True,
        ),
        timeseries(
            "Sync, 95th percentile",
            {signal: ask.recorded("job_signal:archive_sync_duration_seconds:p95_5m")},
            "s",
            "Time that 95 % of the syncs to disk stay under.",
        ),
        timeseries(
            "Segments",
            {
                "{{signal}} newest": f"max by (signal) ({ask.each('archive.head.sequence')})",
                "{{signal}} sealed a minute": "60 * "
                + ask.each_rate("archive.segments.sealed", by="signal"),
            },
            "short",
            "Number of the newest segment: where it falls while a service runs on, an archive was "
            "cut.",
        ),
        timeseries(
            "Errors and drops",
            {
                "{{error_type}}": ask.each_rate("archive.errors", by="error_type"),
                "dropped: {{reason}}": ask.each_rate("archive.dropped", by="reason"),
            },
            "ops",
            "Errors of the archive, and records that did not reach it, a second.",
        ),
        timeseries(
            "Page",
            {"{{error_type}}": ask.each_rate("prometheus.scrape.errors", by="error_type")},
            "ops",
            "Metrics that a scrape had to leave out, and scrapes that were refused or failed, a "
            "second.",
        ),
    )


def _lost(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "Over the series budget",
            {"{{metric}}": ask.each_rate("metric.overflow", by="metric")},
            "ops",
            "Measurements a second whose attributes are lost in an overflow series.",
        ),
        timeseries(
            "Not recorded",
            {"{{metric}}: {{reason}}": ask.each_rate("metric.rejected", by="metric, reason")},
            "ops",
            "Values and attributes a second that a metric does not take.",
        ),
    )

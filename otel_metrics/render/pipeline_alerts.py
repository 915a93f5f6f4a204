"""Alerts on the pipeline itself: targets, exporters, the archive, collectors. Pure."""

from collections.abc import Sequence

from otel_metrics.render.limits import AGEING_BY_S, QUEUE_FILLED_ABOVE, STALLED_AFTER_S
from otel_metrics.render.promql import EVENTS_LANE, PER_INSTANCE, Queries, grown, indented
from otel_metrics.render.recording import SIGNAL
from otel_metrics.render.rules import Alert

__all__ = ["alerts"]

REFUSED = ("enqueue_failed", "send_failed")
"""What a collector's exporter had no room for, and what it gave up."""
ITEMS = ("metric_points", "log_records")
ENDINGS = ("_total", "")
"""A collector's own page shows counters without `_total`, unless `without_type_suffix: false` asks
for it; over OTLP Prometheus adds it."""
GATEWAY = "otlp_http/(prometheus|events)|prometheus_remote_write.*"
"""Exporters of a gateway, which tries nothing again: the agent does, and each time counts there."""


def alerts(q: Queries) -> Sequence[Alert]:
    """Return the alerts, those on what is down before those on what is lost."""
    return (*_down(q), *_lost(q), *_collector())


def _down(q: Queries) -> Sequence[Alert]:
    instance = "{{ $labels.job }} ({{ $labels.instance }})"
    delivered = q.selector("delivery.state")
    progress = q.selector("pipeline.progress.age")
    disk = q.metric("system.filesystem.utilization").bands
    assert disk is not None and disk.critical.lower is not None
    return (
        Alert(
            alert="TargetDown",
            expr="up == 0",
            wait="5m",
            severity="critical",
            summary=f"{instance} cannot be scraped",
            description="Prometheus has had no answer for five minutes.",
            action="Open the target in Prometheus under Status, Targets: it shows the error; 401 "
            "is a token that differs, 421 a name that the page does not go by.",
        ),
        Alert(
            alert="ExporterDown",
            expr=f"{delivered} == 0",
            wait="5m",
            severity="critical",
            summary=f"Exporter {{{{ $labels.exporter }}}} of {instance} delivers nothing",
            description="It has been down for five minutes; metrics catch up when it returns, "
            "events wait in a bounded queue.",
            action="Run `otel-metrics doctor` there, which tries every exporter and says what the "
            "other side answers; the log has one line with the reason.",
        ),
        Alert(
            alert="ServiceSilent",
            expr=_silent(q),
            wait="5m",
            severity="warning",
            summary="{{ $labels.job }} has gone silent",
            description="Nothing has come of it for five minutes; half an hour ago {{ $value }} of "
            "its instances were there.",
            action="See whether it runs, and then whether its collector, or what its "
            "`OTEL_EXPORTER_OTLP_ENDPOINT` leads to, does: `otel-metrics doctor` there says so.",
        ),
        Alert(
            alert="PipelineStalled",
            expr=f"{progress} > {STALLED_AFTER_S}\nand\n"
            f"{progress} - {progress} offset 2m > {AGEING_BY_S}",
            wait="2m",
            severity="critical",
            summary=f"Metrics of {instance} stand still",
            description="No collection has ended for {{ $value | humanizeDuration }}.",
            action="Look in the log for the callback that hangs: an observable instrument of the "
            "service's own that waits for something.",
        ),
        Alert(
            alert="DiskNearlyFull",
            expr=f"{q.selector('system.filesystem.utilization')} >= {disk.critical.lower:g}",
            wait="15m",
            severity="warning",
            summary=f"{{{{ $labels.system_filesystem_mountpoint }}}} of {instance} is nearly full",
            description="{{ $value | humanizePercentage }} are used; the archive stops writing "
            "before the disk is full.",
            action="Run `otel-metrics doctor` there, which says how fast the archive grows, and "
            "shorten it with `otel-metrics archive prune` or give it a larger disk.",
        ),
    )


def _silent(q: Queries) -> str:
    """Return the services that were there for a while and are not, and that no target stands for.

    Seen an hour ago and half an hour ago: what runs for minutes now and then is no service that is
    missed, and of one that was taken away for good the alert ends by itself. Where a target is left
    in Prometheus, that is what cannot be scraped, and `TargetDown` says so.
    """
    progress = q.selector("pipeline.progress.age")
    before, long_before, now = (
        q.over("count", "pipeline.progress.age", (), progress + offset)
        for offset in (" offset 30m", " offset 1h", "")
    )
    targets = f"count without ({', '.join(PER_INSTANCE)}) (up)"
    return f"{before}\nand\n{long_before}\nunless\n{now}\nunless\n{targets}"


def _lost(q: Queries) -> Sequence[Alert]:
    dropped = q.risen("archive.dropped", ("reason", *SIGNAL), "15m")
    rejected = q.risen("delivery.rejected", ("reason", "exporter"), "15m")
    events = q.risen(
        "delivery.skipped", ("exporter",), "15m", where={"exporter": f"={EVENTS_LANE}"}
    )
    return (
        Alert(
            alert="ArchiveErrors",
            expr=f"{q.risen('archive.errors', ('error.type', *SIGNAL), '15m')} > 0",
            wait="",
            severity="critical",
            summary="The archive of {{ $labels.job }} reports errors",
            description="{{ $value | humanize }} of type {{ $labels.error_type }} in the last 15 "
            "minutes.",
            action="Run `otel-metrics doctor` and `otel-metrics archive verify` there: the first "
            "tells of disk and permissions, the second what is damaged and how to mend it.",
        ),
        Alert(
            alert="TelemetryDropped",
            expr=f"{dropped} > 0\nor\n{rejected} > 0\nor\n"
            f'label_replace(\n{indented(events)},\n  "reason", "queue_full", "", ""\n) > 0',
            wait="",
            severity="critical",
            summary="Telemetry of {{ $labels.job }} is lost",
            description="{{ $value | humanize }} records in the last 15 minutes, for this reason: "
            "{{ $labels.reason }}.",
            action="Make room on the disk, look in the log for the value that an exporter cannot "
            "take, or raise `OTEL_BLRP_MAX_QUEUE_SIZE` where the reason is `queue_full`.",
        ),
        Alert(
            alert="SeriesOverflow",
            expr=f"{q.risen('metric.overflow', ('metric',), '15m')} > 0",
            wait="",
            severity="warning",
            summary="{{ $labels.metric }} of {{ $labels.job }} has too many series",
            description="{{ $value | humanize }} measurements in the last 15 minutes fell into its "
            "overflow series, where their attributes are lost.",
            action="Look in the log for the attribute that has too many values, and take it out "
            "of the metric or raise `series_budget` in the catalog.",
        ),
        Alert(
            alert="MeasurementsRejected",
            expr=f"{q.risen('metric.rejected', ('metric', 'reason'), '15m')} > 0",
            wait="",
            severity="warning",
            summary="{{ $labels.job }} records what {{ $labels.metric }} does not take",
            description="{{ $value | humanize }} measurements in the last 15 minutes, for this "
            "reason: {{ $labels.reason }}.",
            action="Look in the log for what is accepted, and mend the call that records it; "
            "`OTEL_PYTHON_METRICS_STRICT=true` raises at that call.",
        ),
    )


def _collector() -> Sequence[Alert]:
    exporter = "Exporter {{ $labels.exporter }} of collector {{ $labels.instance }}"
    series = (
        f'otelcol_exporter_{refused}_{items}{ending}{{exporter!~"{GATEWAY}"}}'
        for refused in REFUSED
        for items in ITEMS
        for ending in ENDINGS
    )
    size, capacity = (f"otelcol_exporter_queue_{part}" for part in ("size", "capacity"))
    return (
        Alert(
            alert="CollectorRefusesData",
            expr="\nor\n".join(grown(each, "15m") for each in series),
            wait="",
            severity="critical",
            summary=f"{exporter} has no room for data, or has given it up",
            description="{{ $value | humanize }} points or records in the last 15 minutes; "
            "metrics catch up with the next batch that is taken, events do not.",
            action="Look in the collector's log for what the other side answers, and give its "
            "`sending_queue` room on disk and `max_elapsed_time: 0`, as `agent.yaml` has it.",
        ),
        Alert(
            alert="CollectorQueueNearlyFull",
            expr=f"{size} > {QUEUE_FILLED_ABOVE:g} * {capacity}",
            wait="5m",
            severity="warning",
            summary=f"{exporter} cannot keep up",
            description="{{ $value | humanize }} (bytes or items, as its `sizer` says) wait in its "
            "queue; what comes when it is full is refused or has to wait.",
            action="See whether the other side answers slowly or not at all, and add consumers, "
            "gateways or room.",
        ),
    )

"""The built-in service metrics and playbooks against the contract, written by hand from it."""

from itertools import chain

import pytest

from otel_metrics.catalog import Metric, Playbook, builtin
from otel_metrics.catalog.model import Band

# metric | unit in records | figure | of a | interval | good | critical | at warning, at critical
CONTRACT = """
api.latency_p95 | ms | p95 | service | 60 | ..350 | 500.. | scale-api-shard failover-gateway
api.error_rate | ratio | avg | service | 60 | ..0.01 | 0.03.. | restart-workers engage-remediation
api.request_rate | req_per_sec | avg | service | 60 | ..200 | 400.. | pre-scale-workers activate-autoscaling
api.saturation | percent | max | service | 60 | ..70 | 85.. | spawn-extra-workers shed-load
executor.queue_depth | count | max | queue | 30 | ..25 | 75.. | scale-workers spawn-emergency-shard
executor.task_latency | seconds | max | queue | 30 | ..60 | 180.. | increase-workers escalate-to-human
executor.worker_utilization | percent | avg | worker_pool | 30 | ..70 | 90.. | spawn-additional-worker block-new-submissions
learning.sessions_started | count | sum | subsystem | 300 | ..3 | 6.. | throttle-learning review-governance-load
learning.sources_verified | percent | avg | subsystem | 300 | 85.. | ..70 | run-trust-analysis stop-ingestion-cycle
learning.sandbox_pass_rate | percent | avg | subsystem | 300 | 80.. | ..60 | rerun-stricter-policies disable-auto-application
learning.governance_blocks | count | sum | subsystem | 300 | ..2 | 5.. | audit-governance-rules require-human-review
learning.source_freshness_ratio | percent | avg | subsystem | 300 | 80.. | ..60 | expand-discovery-seeds refresh-learning-targets
learning.collector_health | seconds | max | collector | 60 | ..120 | 300.. | restart-collector fail-ingestion-cycle
autonomy.plan_success_rate | percent | avg | subsystem | 300 | 90.. | ..75 | tighten-guardrails downgrade-autonomy-tier
autonomy.approvals_pending | count | max | subsystem | 60 | ..3 | 7.. | notify-reviewers pause-high-risk-plans
autonomy.autonomy_ratio | percent | avg | subsystem | 600 | 70..85 | 90..60 | review-capability review-trust-levels
autonomy.rollback_rate | percent | avg | subsystem | 300 | ..5 | 10.. | run-postmortem lock-planner-supervised
infra.cpu_utilization | percent | avg | host | 30 | ..70 | 85.. | shift-load scale-nodes
infra.memory_utilization | percent | avg | host | 30 | ..75 | 90.. | restart-non-critical-services migrate-workloads
infra.disk_usage | percent | max | volume | 300 | ..70 | 85.. | cleanup-tasks trigger-disk-expansion
infra.pod_ready_ratio | percent | avg | service | 30 | 95.. | ..90 | reschedule-pods escalate-to-infra-team
telemetry.collector_uptime | percent | avg | collector | 60 | 99.. | ..95 | restart-collector-service switch-to-backup-collector
telemetry.publish_latency | ms | avg | collector | 60 | ..1000 | 3000.. | investigate-network-bottleneck pause-dependent-playbooks
telemetry.schema_failures | count | sum | collector | 60 | ..0 | 3.. | review-collector-payload disable-collector-auto-optimization
trigger.mesh_queue_depth | count | max | subsystem | 30 | ..50 | 150.. | scale-router shed-non-critical-events
trigger.handler_error_rate | percent | avg | subsystem | 60 | ..1 | 3.. | isolate-faulty-handler disable-handler-alert-team
"""  # noqa: E501  # a metric a line

SOURCES = {
    "host": ["infra.cpu_utilization", "infra.memory_utilization", "infra.disk_usage"],
    "http_server": ["api.latency_p95", "api.error_rate", "api.request_rate", "api.saturation"],
    "callable": [
        "learning.collector_health",
        "infra.pod_ready_ratio",
        "telemetry.collector_uptime",
        "telemetry.publish_latency",
        "telemetry.schema_failures",
        "trigger.mesh_queue_depth",
        "trigger.handler_error_rate",
    ],
}
"""The others are asked of a database."""

LOW = """
audit-governance-rules escalate-to-human escalate-to-infra-team expand-discovery-seeds
increase-workers investigate-network-bottleneck notify-reviewers refresh-learning-targets
require-human-review rerun-stricter-policies review-capability review-collector-payload
review-governance-load review-trust-levels run-postmortem run-trust-analysis scale-workers
spawn-additional-worker spawn-extra-workers throttle-learning
"""
MEDIUM = """
activate-autoscaling cleanup-tasks disable-auto-application disable-collector-auto-optimization
isolate-faulty-handler pause-dependent-playbooks pause-high-risk-plans pre-scale-workers
restart-collector restart-collector-service restart-workers scale-api-shard scale-router shift-load
tighten-guardrails
"""
HIGH = """
block-new-submissions disable-handler-alert-team downgrade-autonomy-tier engage-remediation
fail-ingestion-cycle failover-gateway migrate-workloads reschedule-pods
restart-non-critical-services scale-nodes shed-load shed-non-critical-events spawn-emergency-shard
stop-ingestion-cycle switch-to-backup-collector trigger-disk-expansion
"""
CRITICAL = "lock-planner-supervised"
RISKS = {"low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL}

METRICS = [metric for metric in builtin().metrics.values() if metric.source is not None]
every_playbook = pytest.mark.parametrize(
    "playbook", builtin().playbooks.values(), ids=lambda playbook: playbook.id
)


def row(metric: Metric) -> str:
    """Return a metric as the contract has it."""
    source, bands, playbooks = metric.source, metric.bands, metric.playbooks
    assert source is not None
    assert bands is not None
    assert playbooks is not None
    figures = (source.unit_name, source.aggregation, source.scope, f"{source.interval_s:g}")
    judged = (bound(bands.good), bound(bands.critical))
    return " | ".join((metric.name, *figures, *judged, f"{playbooks.warning} {playbooks.critical}"))


def bound(band: Band) -> str:
    ends = ("" if end is None else f"{end:g}" for end in (band.lower, band.upper))
    return "..".join(ends)


def test_the_contract_holds_metric_by_metric() -> None:
    """Intervals, bands and playbooks are what recommendations follow from."""
    assert [row(metric) for metric in METRICS] == CONTRACT.strip().splitlines()


def test_each_metric_asks_the_source_that_has_its_values() -> None:
    """The host, the service's own HTTP metrics, a database, or a function of the service."""
    asked: dict[str, list[str]] = {}
    for metric in METRICS:
        assert metric.source is not None
        asked.setdefault(metric.source.type, []).append(metric.name)
    sql = asked.pop("sql")

    assert asked == SOURCES
    assert {name.partition(".")[0] for name in sql} == {"executor", "learning", "autonomy"}
    assert len(sql) == 12


def test_every_playbook_has_its_risk() -> None:
    """The risk decides who must agree."""
    actual: dict[str, set[str]] = {}
    for playbook in builtin().playbooks.values():
        actual.setdefault(playbook.risk, set()).add(playbook.id)

    assert actual == {risk: set(names.split()) for risk, names in RISKS.items()}


def test_a_person_must_agree_to_high_and_critical_risk() -> None:
    """Tiers 1 and 2 may run by policy, 3 and 4 never without an approval."""
    ruled = {
        (playbook.risk, playbook.tier, playbook.needs_approval)
        for playbook in builtin().playbooks.values()
    }

    assert ruled == {
        ("low", 1, False),
        ("medium", 2, False),
        ("high", 3, True),
        ("critical", 4, True),
    }


def test_every_playbook_is_recommended_and_every_recommended_one_defined() -> None:
    """No metric leads nowhere, and nothing is bound in vain."""
    named = (metric.playbooks for metric in METRICS)
    recommended = chain.from_iterable((it.warning, it.critical) for it in named if it is not None)

    assert set(recommended) == set(builtin().playbooks)


@every_playbook
def test_only_where_something_goes_must_be_said_by_an_operator(playbook: Playbook) -> None:
    """Every other parameter has a default, so that a recommendation alone can be acted on."""
    needed = [parameter.name for parameter in playbook.parameters if parameter.default is None]

    assert needed in ([], ["target"])

"""The built-in catalog against the contract: every name, unit, attribute and exposed name."""

import pytest

from otel_exporter_prometheus import naming
from otel_metrics.catalog import Metric, builtin

SKILL = "gen_ai.skill.name gen_ai.skill.version"
AGENT = f"{SKILL} gen_ai.agent.name"
RUN = f"{AGENT} error.type"
OUTCOME = f"{AGENT} skill.outcome"
MOVE = f"{SKILL} skill.promotion.from skill.promotion.to"
MODEL = "gen_ai.provider.name gen_ai.request.model gen_ai.response.model"
CALL = f"gen_ai.operation.name {MODEL}"
USAGE = f"{CALL} gen_ai.token.modality"
EXECUTION = "gen_ai.agent.name agent.execution.success"
BUDGET = "budget.name budget.unit"
SPACE = "system.filesystem.mountpoint system.device"
CPU = "cpu.mode cpu.logical_number source"
EXPORT = "otel.component.name otel.component.type error.type"
INFERENCE = "gen_ai.client.inference"
OF = "service.resource.id"

# Written by hand from the contract: name | instrument | unit | attributes | Prometheus.
CONTRACT = f"""
skill.executions | counter | {{execution}} | {RUN} | skill_executions_total
skill.execution.duration | histogram | s | {RUN} | skill_execution_duration_seconds
skill.execution.memory | histogram | By | {AGENT} | skill_execution_memory_bytes
skill.outcomes | counter | {{outcome}} | {OUTCOME} | skill_outcomes_total
skill.outcome.confidence | histogram | {{score}} | {OUTCOME} | skill_outcome_confidence
skill.fidelity | histogram | {{score}} | {AGENT} | skill_fidelity
skill.patterns | counter | {{pattern}} | {AGENT} skill.pattern.result | skill_patterns_total
skill.promotions | counter | {{promotion}} | {MOVE} | skill_promotions_total
skill.rollbacks | counter | {{rollback}} | {MOVE} skill.rollback.automated | skill_rollbacks_total
skill.state | gauge | {{state}} | {SKILL} skill.state | skill_state
skill.cost | counter | {{USD}} | {OUTCOME} | skill_cost_total

sovereignty.events | counter | {{event}} | sovereignty.event.type sovereignty.layer sovereignty.path | sovereignty_events_total
sovereignty.skills.crystallized | counter | {{skill}} | | sovereignty_skills_crystallized_total
sovereignty.api.calls | counter | {{call}} | | sovereignty_api_calls_total
sovereignty.api.cost | counter | {{USD}} | | sovereignty_api_cost_total

{INFERENCE}.usage.input_tokens | counter | {{token}} | {USAGE} | gen_ai_client_inference_usage_input_tokens_total
{INFERENCE}.usage.output_tokens | counter | {{token}} | {USAGE} | gen_ai_client_inference_usage_output_tokens_total
{INFERENCE}.usage.cache_read.input_tokens | counter | {{token}} | {USAGE} | gen_ai_client_inference_usage_cache_read_input_tokens_total
{INFERENCE}.usage.cache_write.input_tokens | counter | {{token}} | {USAGE} | gen_ai_client_inference_usage_cache_write_input_tokens_total
{INFERENCE}.usage.reasoning.output_tokens | counter | {{token}} | {USAGE} | gen_ai_client_inference_usage_reasoning_output_tokens_total
{INFERENCE}.duration | histogram | s | {CALL} error.type | gen_ai_client_inference_duration_seconds
gen_ai.client.token.usage | histogram | {{token}} | {CALL} error.type gen_ai.token.type | gen_ai_client_token_usage
pforge.tokens.used | counter | {{token}} | vendor model | pforge_tokens_used_total
llm.cost | counter | {{USD}} | {MODEL} cost.source | llm_cost_total
llm.unpriced_tokens | counter | {{token}} | {MODEL} | llm_unpriced_tokens_total
budget.limit | gauge | {{unit}} | {BUDGET} | budget_limit
budget.used | gauge | {{unit}} | {BUDGET} | budget_used
budget.remaining | gauge | {{unit}} | {BUDGET} | budget_remaining
budget.refusals | counter | {{refusal}} | budget.name | budget_refusals_total
gen_ai.execute_tool.duration | histogram | s | gen_ai.tool.name error.type | gen_ai_execute_tool_duration_seconds
gen_ai.invoke_agent.duration | histogram | s | gen_ai.agent.name error.type | gen_ai_invoke_agent_duration_seconds
gen_ai.client.operation.time_to_first_chunk | histogram | s | {CALL} | gen_ai_client_operation_time_to_first_chunk_seconds
gen_ai.usage.missing | counter | {{call}} | {MODEL} | gen_ai_usage_missing_total

pforge.efficiency | gauge | {{score}} | | pforge_efficiency
pforge.entropy | gauge | {{bit}} | | pforge_entropy
pforge.gaps | gauge | {{piece}} | | pforge_gaps
pforge.misfits | gauge | {{piece}} | | pforge_misfits
pforge.false_pieces | gauge | {{piece}} | | pforge_false_pieces
pforge.agents.active | gauge | {{agent}} | agent_type | pforge_agents_active
pforge.ticks | counter | {{tick}} | | pforge_ticks_total
pforge.orchestrator.tick.duration | histogram | s | | pforge_orchestrator_tick_duration_seconds
pforge.agent.errors | counter | {{error}} | agent_type | pforge_agent_errors_total
pforge.patches.applied | counter | {{patch}} | | pforge_patches_applied_total
pforge.rollbacks | counter | {{rollback}} | | pforge_rollbacks_total
pforge.recovery.actions | counter | {{action}} | action_type | pforge_recovery_actions_total
pforge.budget.usage | gauge | % | tenant | pforge_budget_usage_percent

agent.executions | counter | {{execution}} | {EXECUTION} | agent_executions_total
agent.execution.duration | histogram | s | {EXECUTION} | agent_execution_duration_seconds
agent.execution.quality | histogram | {{score}} | {EXECUTION} | agent_execution_quality

system.cpu.utilization | gauge | 1 | {CPU} | system_cpu_utilization_ratio
system.cpu.time | counter | s | {CPU} | system_cpu_time_seconds_total
system.memory.usage | updowncounter | By | system.memory.state source | system_memory_usage_bytes
system.memory.utilization | gauge | 1 | system.memory.state source | system_memory_utilization_ratio
system.memory.limit | updowncounter | By | source | system_memory_limit_bytes
system.filesystem.usage | updowncounter | By | {SPACE} system.filesystem.state | system_filesystem_usage_bytes
system.filesystem.utilization | gauge | 1 | {SPACE} | system_filesystem_utilization_ratio
system.network.io | counter | By | network.io.direction network.interface.name | system_network_io_bytes_total
system.disk.io | counter | By | disk.io.direction system.device | system_disk_io_bytes_total
system.uptime | gauge | s | | system_uptime_seconds
process.cpu.time | counter | s | cpu.mode | process_cpu_time_seconds_total
process.memory.usage | updowncounter | By | | process_memory_usage_bytes
process.thread.count | updowncounter | {{thread}} | | process_thread_count
process.unix.file_descriptor.count | updowncounter | {{file_descriptor}} | | process_unix_file_descriptor_count
process.uptime | gauge | s | | process_uptime_seconds
cpython.gc.collections | counter | {{collection}} | cpython.gc.generation | cpython_gc_collections_total
container.cpu.usage | gauge | {{cpu}} | cpu.mode source | container_cpu_usage
container.memory.usage | updowncounter | By | source | container_memory_usage_bytes
container.memory.limit | updowncounter | By | source | container_memory_limit_bytes

api.latency_p95 | gauge | ms | {OF} | api_latency_p95_milliseconds
api.error_rate | gauge | {{ratio}} | {OF} | api_error_rate
api.request_rate | gauge | {{request}}/s | {OF} | api_request_rate_per_second
api.saturation | gauge | % | {OF} | api_saturation_percent
executor.queue_depth | gauge | {{task}} | {OF} | executor_queue_depth
executor.task_latency | gauge | s | {OF} | executor_task_latency_seconds
executor.worker_utilization | gauge | % | {OF} | executor_worker_utilization_percent
learning.sessions_started | gauge | {{session}} | {OF} | learning_sessions_started
learning.sources_verified | gauge | % | {OF} | learning_sources_verified_percent
learning.sandbox_pass_rate | gauge | % | {OF} | learning_sandbox_pass_rate_percent
learning.governance_blocks | gauge | {{source}} | {OF} | learning_governance_blocks
learning.source_freshness_ratio | gauge | % | {OF} | learning_source_freshness_ratio_percent
learning.collector_health | gauge | s | {OF} | learning_collector_health_seconds
autonomy.plan_success_rate | gauge | % | {OF} | autonomy_plan_success_rate_percent
autonomy.approvals_pending | gauge | {{approval}} | {OF} | autonomy_approvals_pending
autonomy.autonomy_ratio | gauge | % | {OF} | autonomy_autonomy_ratio_percent
autonomy.rollback_rate | gauge | % | {OF} | autonomy_rollback_rate_percent
infra.cpu_utilization | gauge | % | {OF} | infra_cpu_utilization_percent
infra.memory_utilization | gauge | % | {OF} | infra_memory_utilization_percent
infra.disk_usage | gauge | % | {OF} | infra_disk_usage_percent
infra.pod_ready_ratio | gauge | % | {OF} | infra_pod_ready_ratio_percent
telemetry.collector_uptime | gauge | % | {OF} | telemetry_collector_uptime_percent
telemetry.publish_latency | gauge | ms | {OF} | telemetry_publish_latency_milliseconds
telemetry.schema_failures | gauge | {{event}} | {OF} | telemetry_schema_failures
trigger.mesh_queue_depth | gauge | {{event}} | {OF} | trigger_mesh_queue_depth
trigger.handler_error_rate | gauge | % | {OF} | trigger_handler_error_rate_percent
service.source.errors | counter | {{error}} | service.metric service.source error.type | service_source_errors_total
remediation.actions | counter | {{action}} | playbook.id remediation.result | remediation_actions_total
remediation.approvals.pending | gauge | {{approval}} | | remediation_approvals_pending

otel.sdk.exporter.metric_data_point.exported | counter | {{data_point}} | {EXPORT} | otel_sdk_exporter_metric_data_point_exported_total
otel.sdk.exporter.log.exported | counter | {{log_record}} | {EXPORT} | otel_sdk_exporter_log_exported_total
otel.sdk.exporter.operation.duration | histogram | s | {EXPORT} | otel_sdk_exporter_operation_duration_seconds
archive.records | counter | {{record}} | signal | archive_records_total
archive.bytes | counter | By | signal | archive_bytes_total
archive.segments.sealed | counter | {{segment}} | signal | archive_segments_sealed_total
archive.sync.duration | histogram | s | signal | archive_sync_duration_seconds
archive.head.sequence | gauge | {{segment}} | signal | archive_head_sequence
archive.errors | counter | {{error}} | error.type signal | archive_errors_total
archive.dropped | counter | {{record}} | reason signal | archive_dropped_total
delivery.state | gauge | {{state}} | exporter | delivery_state
delivery.skipped | counter | {{batch}} | exporter | delivery_skipped_total
delivery.rejected | counter | {{item}} | exporter reason | delivery_rejected_total
metric.overflow | counter | {{measurement}} | metric | metric_overflow_total
metric.rejected | counter | {{measurement}} | metric reason | metric_rejected_total
prometheus.scrape.errors | counter | {{error}} | error.type | prometheus_scrape_errors_total
pipeline.progress.age | gauge | s | | pipeline_progress_age_seconds
"""  # noqa: E501  # a metric a line

D = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
A = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6]
M = [2.0**exponent for exponent in range(20, 37, 2)]
F = [0.0001, 0.0004, 0.0016, 0.0064, 0.0256, 0.1024, 0.4096, 1.6384, 6.5536]
S = [round(0.05 * step, 2) for step in range(1, 20)] + [0.99, 1.0]
T = [4.0**exponent for exponent in range(14)]

BUCKETS = {
    "skill.execution.duration": A,
    "skill.execution.memory": M,
    "skill.outcome.confidence": S,
    "skill.fidelity": S,
    "gen_ai.client.inference.duration": D,
    "gen_ai.client.token.usage": T,
    "gen_ai.execute_tool.duration": D,
    "gen_ai.invoke_agent.duration": A,
    "gen_ai.client.operation.time_to_first_chunk": D,
    "pforge.orchestrator.tick.duration": D,
    "agent.execution.duration": A,
    "agent.execution.quality": S,
    "otel.sdk.exporter.operation.duration": D,
    "archive.sync.duration": F,
}

WHO = {"gen_ai.skill.name", "gen_ai.skill.version", "skill.record.id", "metadata"}
RAN = WHO | {"gen_ai.agent.name", "execution_id"}
MOVED = WHO | {"event_id", "skill.promotion.from", "skill.promotion.to"}
WORK = {"sovereignty.event.type", "sovereignty.event.id", "sovereignty.cost_usd"}
WORK |= {"session.id", "metadata"}
LAYERED = WORK | {"sovereignty.layer", "sovereignty.path"}
STANDING = {"budget.name", "budget.unit", "budget.scope", "budget.subject", "budget.period"}
STANDING |= {f"budget.amount_{field}" for field in ("limit", "used", "reserved", "remaining")}
STANDING |= {"budget.resets_at"}
ENTRY = {"sequence", "actor", "action", "resource", "subsystem", "payload", "result"}
ENTRY |= {"timestamp", "previous_hash", "entry_hash", "remediation.ledger.id"}
ASKED = {
    "playbook.id",
    "metric_id",
    "service.band",
    "reason",
    "remediation.key",
    "remediation.detail",
}
ASKED |= {f"remediation.{field}" for field in ("parameters", "plan", "plan.sha256")}
ASKED |= {"remediation.approval.id", "remediation.configuration.sha256"}
RUN_OF = ENTRY | ASKED | {"remediation.run.id"}
SAMPLES = {f"{kind}_samples" for kind in ("expected", "missing", "late", "not_a_number")}
EVENTS = {
    "service.sample": {"event_type", "source", "actor", "resource", "payload"},
    "service.snapshot": {"snapshot_id", "metric_id", "resource_scope", "resource_id", "stats"}
    | {"window_start", "window_end", "bands", "latest_band", "derived_actions", "created_at"}
    | {"aggregation", "value"}
    | SAMPLES,
    "service.recommendation": {"recommendation_id", "metric_id", "resource", "band"}
    | {"action_type", "playbook_id", "confidence", "reason", "observed_at"},
    "remediation.notified": {"playbook.id", "actor", "resource", "reason", "metric_id"}
    | {"service.band", "remediation.key", "remediation.parameters"},
    "remediation.requested": RUN_OF | {"remediation.decision"},
    "remediation.intent": RUN_OF,
    "remediation.result": RUN_OF
    | {"remediation.result", "remediation.exit_code"}
    | {"remediation.output", "remediation.output.sha256"},
    "remediation.verified": RUN_OF | {"remediation.verified"},
    "remediation.approval": ENTRY | ASKED | {"remediation.approval.decision"},
    "remediation.switched": ENTRY | {"reason"},
    "skill.performance": RAN
    | {"execution_time_ms", "exception_occurred", "exception_type", "memory_usage_mb"},
    "skill.outcome": RAN
    | {"decision", "expected_decision", "correct", "confidence", "reasoning", "skill.outcome"}
    | {"gen_ai.evaluation.name", "gen_ai.evaluation.score.value"}
    | {"gen_ai.evaluation.score.label", "gen_ai.evaluation.explanation"},
    "skill.fidelity": RAN
    | {"pattern_fidelity", "patterns_followed", "patterns_missed", "patterns_detail"},
    "skill.promotion": MOVED | {"approver", "approval_ticket", "reason", "automated_checks"},
    "skill.rollback": MOVED | {"trigger_reason", "trigger_metric", "skill.rollback.automated"},
    "sovereignty.perception_cache_hit": LAYERED,
    "sovereignty.perception_vlm_call": LAYERED,
    "sovereignty.decision_rule_hit": LAYERED,
    "sovereignty.decision_llm_call": LAYERED,
    "sovereignty.narration_template": LAYERED,
    "sovereignty.narration_llm": LAYERED,
    "sovereignty.skill_crystallized": WORK,
    "sovereignty.api_call": WORK,
    "sovereignty.api_cost": WORK,
    "budget.refused": STANDING | {"budget.requested", "budget.refused_since"},
    "budget.warned": STANDING | {"budget.soft_limit"},
    "sovereignty.session_started": {"sovereignty.event.id", "session.id", "sovereignty.game"},
    "sovereignty.session_ended": {"sovereignty.event.id", "session.id"},
    "efficiency.plan": {"plan_id", "priority", "cost_usd"},
    "efficiency.dip": {"gaps", "misfits", "false_pieces", "risk", "backtracks", "entropy", "decay"}
    | {"phi", "total_issues", "closed_issues", "passing_tests", "total_tests", "efficiency"}
    | {"tick"},
    "agent.execution": {"gen_ai.agent.name", "agent.execution.success", "execution_time_s"}
    | {"quality_score", "primary_metric", "session.id", "metadata", "idempotency_key"},
}

METRICS = sorted(builtin().metrics.values(), key=lambda metric: metric.name)
every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def test_the_contract_holds_metric_by_metric() -> None:
    """Names, instruments, units, attributes and exposed names are what others already chart."""
    lines = [line.split("|") for line in CONTRACT.splitlines() if line]
    expected = {
        name.strip(): (instrument.strip(), unit.strip(), set(keys.split()), exposed.strip())
        for name, instrument, unit, keys, exposed in lines
    }

    actual = {
        name: (metric.instrument, metric.unit, set(metric.attributes), metric.prometheus)
        for name, metric in builtin().metrics.items()
    }
    assert actual == expected


def test_every_histogram_has_the_buckets_of_its_scale() -> None:
    """A quantile is only as good as its buckets."""
    actual = {
        name: list(metric.buckets)
        for name, metric in builtin().metrics.items()
        if metric.instrument == "histogram"
    }

    assert actual == BUCKETS


def test_every_event_has_the_fields_of_its_record() -> None:
    """An event keeps what must never become an attribute of a metric."""
    events = builtin().events

    assert {name: set(event.attributes) for name, event in events.items()} == EVENTS


@every_metric
def test_a_declared_name_is_the_exposed_one(metric: Metric) -> None:
    """What the catalog says is what a scrape shows."""
    exposed = naming.metric_name(metric.name, metric.unit, metric.instrument)

    assert metric.prometheus == exposed


@every_metric
def test_every_translator_renders_a_name_alike(metric: Metric) -> None:
    """The collector and Prometheus' own OTLP endpoint show the same name."""
    assert naming.problem(metric.name, metric.unit, metric.instrument) is None


@every_metric
def test_every_gauge_says_how_workers_merge(metric: Metric) -> None:
    """Four workers that share a page must not show four values, nor a wrong sum."""
    if metric.instrument in ("gauge", "updowncounter"):
        assert metric.merge is not None
        assert metric.observable


def test_whatever_is_referred_to_is_defined() -> None:
    """No metric and no event names an attribute that the catalog does not explain."""
    catalog = builtin()

    used = {key for metric in catalog.metrics.values() for key in metric.attributes}
    used |= {key for event in catalog.events.values() for key in event.attributes}
    assert used == set(catalog.attributes)


def test_the_built_in_catalog_is_read_once() -> None:
    """Every part of the program holds the same object."""
    assert builtin() is builtin()

"""The section `playbooks` of the operator's file: what each playbook is bound to."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, cast, get_args

from otel_metrics.catalog.fields import near
from otel_metrics.catalog.model import Parameter, Playbook, Risk
from otel_metrics.remediation import parameters as values
from otel_metrics.remediation import steps
from otel_metrics.remediation.file_fields import FileFields
from otel_metrics.remediation.model import Binding, Step, Value, Verification
from otel_metrics.remediation.rules import TIERS
from otel_metrics.remediation.step_values import Allowed
from otel_metrics.service.samples import BandName

__all__ = ["STEPS_MAX", "TARGETS_MAX", "read"]

STEPS_MAX: Final = 20
"""Steps of one playbook."""
TARGETS_MAX: Final = 1_000
"""Targets that one playbook may list."""
COOLDOWN_S: Final = 600.0
"""Between two runs on one target, where the file does not say."""
RUNS_PER_HOUR: Final = 3
"""Likewise of one playbook on all targets."""
RUNS_PER_HOUR_MAX: Final = 3_600
WITHIN_MAX_S: Final = 86_400.0
"""Longest time that a verification may wait."""
COOLDOWN_MAX_S: Final = 30 * 86_400.0

_KNOWN: Final = (
    "enabled",
    "risk",
    "steps",
    "rollback",
    "parameters",
    "targets",
    "cooldown",
    "runs_per_hour",
    "idempotent",
    "verification",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a binding may refer to.

    Attributes:
        metrics: every metric that there is; None where that is not known.
        allowed: what a step may use, by the parameters of its playbook.
    """

    playbooks: Mapping[str, Playbook]
    metrics: Collection[str] | None
    allowed: Callable[[Mapping[str, Parameter]], Allowed]


def read(fields: FileFields, known: Known) -> dict[str, Binding]:
    """Return what is under `playbooks`, by the playbook's id."""
    names = fields.entries("playbooks")
    section = fields.within("playbooks", known=names)
    found = {}
    for name in names:
        if name not in known.playbooks:
            remedy = near(name, known.playbooks, otherwise="see `otel-metrics playbooks list`")
            section.refuse(name, "is no playbook of the catalog", remedy)
            continue
        found[name] = _binding(section.within(name, known=_KNOWN), known.playbooks[name], known)
    return found


def _binding(fields: FileFields, playbook: Playbook, known: Known) -> Binding:
    declared = {parameter.name: parameter for parameter in playbook.parameters}
    targets = _targets(fields)
    allowed = known.allowed({**declared, **_resource(targets)})
    bound = _steps(fields, "steps", allowed)
    if not fields.items("steps"):
        fields.refuse("steps", "has none", "add one, or leave the playbook out: it then notifies")
    return Binding(
        playbook=playbook.id,
        enabled=fields.flag("enabled", default=False),
        risk=_risk(fields, playbook),
        steps=bound,
        rollback=_steps(fields, "rollback", allowed),
        parameters=_parameters(fields, declared),
        targets=targets,
        cooldown_s=fields.duration("cooldown", COOLDOWN_S, least_s=0, most_s=COOLDOWN_MAX_S),
        runs_per_hour=fields.whole("runs_per_hour", RUNS_PER_HOUR, least=1, most=RUNS_PER_HOUR_MAX),
        idempotent=fields.flag("idempotent", default=False),
        verification=_verification(fields, playbook, known),
    )


def _steps(fields: FileFields, key: str, allowed: Allowed) -> tuple[Step, ...]:
    items = fields.items(key)
    if len(items) > STEPS_MAX:
        fields.refuse(key, f"has {len(items):,} steps", f"keep at most {STEPS_MAX}")
        return ()
    found = [
        steps.read(item, f"{fields.path(key)}[{index}]", fields.report, allowed)
        for index, item in enumerate(items)
    ]
    return tuple(step for step in found if step is not None)


def _risk(fields: FileFields, playbook: Playbook) -> Risk:
    """Return the risk, which an operator may raise: what is bound here may break more."""
    risk = cast(Risk | None, fields.choice("risk", TIERS)) or playbook.risk
    if TIERS.index(risk) < playbook.tier - 1:
        message = f"{risk} is below what the catalog says ({playbook.risk})"
        fields.refuse("risk", message, f"write {playbook.risk} or a higher one, or leave it out")
        return playbook.risk
    return risk


def _parameters(fields: FileFields, declared: Mapping[str, Parameter]) -> dict[str, Value]:
    given = fields.within("parameters", known=declared)
    found: dict[str, Value] = {}
    for name, parameter in declared.items():
        node = given.node(name)
        if node is None:
            continue
        wrong = values.fault(parameter, node.plain())
        if wrong:
            message, _, remedy = wrong.rpartition("; ")
            given.refuse(name, f"{str(node.plain())[:60]!r} {message}", remedy)
        elif isinstance(node.value, str | int | float):
            found[name] = node.value
    lacking = [name for name in declared if declared[name].default is None and not given.has(name)]
    if lacking and fields.flag("enabled", default=False):
        message = f"{', '.join(lacking)}: has no default, and a recommendation gives no value"
        fields.refuse("parameters", message, "give it a value here")
    return found


def _targets(fields: FileFields) -> frozenset[str] | None:
    if not fields.has("targets"):
        return None
    found = frozenset(text for _, text in fields.texts("targets", most=TARGETS_MAX))
    if not fields.items("targets"):
        fields.refuse("targets", "has none", "list ids of resources, or leave it out for any")
    return found


def _resource(targets: frozenset[str] | None) -> dict[str, Parameter]:
    """Return what `${resource}` may be; nothing where any target is allowed."""
    if not targets:
        return {}
    brief = "Id of what it is done to."
    return {
        values.RESOURCE: Parameter(
            name=values.RESOURCE, type="string", brief=brief, choices=tuple(sorted(targets))
        )
    }


def _verification(fields: FileFields, playbook: Playbook, known: Known) -> Verification:
    given = fields.within("verification", known=("metric", "band", "within"))
    metric = given.text("metric") or playbook.verifies
    if given.has("metric") and known.metrics is not None and metric not in known.metrics:
        remedy = near(metric or "", known.metrics, otherwise="see `otel-metrics catalog list`")
        given.refuse("metric", f"there is no metric {metric!r}", remedy)
    return Verification(
        metric=metric,
        band=cast(BandName, given.choice("band", get_args(BandName)) or "good"),
        within_s=given.duration("within", playbook.within_s, least_s=1, most_s=WITHIN_MAX_S),
    )

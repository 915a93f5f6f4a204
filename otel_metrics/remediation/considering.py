"""What would be done about a request, before anything is asked of the ledger. Pure.

Refused are: a playbook that the catalog does not know, a target that nobody knows or that the
binding does not allow, a parameter that the playbook does not allow, and what the policy refuses.
"""

import hashlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_metrics import values
from otel_metrics.catalog.model import Playbook
from otel_metrics.remediation import policy
from otel_metrics.remediation.audit import canonical
from otel_metrics.remediation.model import (
    Binding,
    Configuration,
    Outcome,
    Request,
    Value,
    Verification,
)
from otel_metrics.remediation.parameters import RESOURCE, resolve
from otel_metrics.remediation.policy import Ruling
from otel_metrics.remediation.scopes import no_playbook
from otel_metrics.service.samples import Resource

__all__ = ["TEXT_CHARS_MAX", "Considered", "consider", "noted", "readable"]

TEXT_CHARS_MAX: Final = 4_096
"""Characters of a reason, a name or a key; what is over is cut off, and named by its hash."""
PARAMETERS_MAX: Final = 100
"""Parameters that are noted of a request that is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What would be done about a request.

    Attributes:
        parameters: of the playbook, all of them.
        plan, rollback: exactly what each step would do.
        is_enabled: whether the operator lets it run; without, it is a dry run.
        verification: what must come true after it; None where there is no metric to look at.
    """

    request: Request
    playbook: Playbook
    configuration: Configuration
    binding: Binding
    tier: int
    ruling: Ruling
    parameters: Mapping[str, Value]
    plan: Sequence[Sequence[str]]
    rollback: Sequence[Sequence[str]]
    is_enabled: bool
    verification: Verification | None

    @property
    def step_values(self) -> Mapping[str, Value]:
        """All that the steps are given: the parameters, and the target where the file lists it."""
        return _step_values(self.binding, self.request, self.parameters)

    @property
    def digest(self) -> str:
        """SHA-256 of exactly what would be done, and to what."""
        target = self.request.target
        done = {
            "playbook": self.playbook.id,
            "target": [target.scope, target.id],
            "parameters": dict(self.parameters),
            "plan": [list(each) for each in self.plan],
            "rollback": [list(each) for each in self.rollback],
        }
        return hashlib.sha256(canonical(done).encode()).hexdigest()


def consider(
    request: Request,
    configuration: Configuration | None,
    playbooks: Mapping[str, Playbook],
    known_targets: Callable[[], Container[Resource]],
) -> Considered | Outcome:
    """Return what would be done, or why nothing can be: `refused`, or `notified` where nothing is
    bound to the playbook."""
    playbook = playbooks.get(request.playbook)
    if playbook is None:
        return _refused(no_playbook(request.playbook, playbooks))
    wrong = _wrong_text(request)
    if wrong is not None:
        return _refused(wrong)
    if request.target not in known_targets():
        return _refused(f"target={request.target.scope}/{request.target.id}: is not known")
    binding = None if configuration is None else configuration.bindings.get(playbook.id)
    if configuration is None or binding is None:
        return Outcome(result="notified", detail=f"nothing is bound to {playbook.id}")
    if binding.targets is not None and request.target.id not in binding.targets:
        return _refused(f"target={request.target.id}: is not among the targets of {playbook.id}")
    try:
        parameters = resolve(playbook, binding.parameters, request.parameters)
        given = _step_values(binding, request, parameters)
        plan = [step.plan(given) for step in binding.steps]
        rollback = [step.plan(given) for step in binding.rollback]
    except ValueError as error:
        return _refused(str(error))
    return Considered(
        request=request,
        playbook=playbook,
        configuration=configuration,
        binding=binding,
        tier=policy.tier_of(playbook, binding),
        ruling=policy.rule_on(configuration.policy, request, policy.tier_of(playbook, binding)),
        parameters=parameters,
        plan=plan,
        rollback=rollback,
        is_enabled=configuration.enabled and binding.enabled,
        verification=_verification(binding, request),
    )


def _step_values(
    binding: Binding, request: Request, parameters: Mapping[str, Value]
) -> Mapping[str, Value]:
    if binding.targets is None:
        return parameters
    return {**parameters, RESOURCE: request.target.id}


def readable(request: Request) -> Request:
    """Return a request whose texts every file can hold; whoever made them may be anybody."""

    def text(given: str) -> str:
        return values.text(given, chars_max=TEXT_CHARS_MAX)

    return replace(
        request,
        playbook=text(request.playbook),
        target=Resource(text(request.target.scope), text(request.target.id)),
        actor=text(request.actor),
        reason=text(request.reason),
        key=text(request.key),
        metric=None if request.metric is None else text(request.metric),
    )


def noted(request: Request) -> Request:
    """Return a request as it is noted where nothing is done: with all that it gave as text, since
    nobody has checked it."""
    given = list(request.parameters.items())[:PARAMETERS_MAX]
    parameters: dict[str, Value] = {
        values.text(str(name), chars_max=TEXT_CHARS_MAX): values.text(
            str(value), chars_max=TEXT_CHARS_MAX
        )
        for name, value in given
    }
    return replace(request, parameters=parameters)


def _verification(binding: Binding, request: Request) -> Verification | None:
    wanted = binding.verification
    return wanted if wanted.metric is not None or request.metric is not None else None


def _wrong_text(request: Request) -> str | None:
    """Who asks and the key must say something: they are what the audit and the ledger go by."""
    if not request.key.strip():
        return "key='': is empty; give one that no other request has"
    if not request.actor.strip():
        return "actor='': is empty; name who asks"
    return None


def _refused(detail: str) -> Outcome:
    return Outcome(result="refused", detail=detail)

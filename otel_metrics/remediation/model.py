"""What is asked, decided and done about a metric out of its band, as plain data. Pure.

`configuration.py` reads the operator's file into `Configuration`; `actions/` has the steps;
`engine.py` decides, runs and keeps the audit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from otel_metrics.catalog.model import Risk
from otel_metrics.service.samples import BandName, Resource

__all__ = [
    "Binding",
    "Configuration",
    "Decision",
    "Limits",
    "Notice",
    "Outcome",
    "Request",
    "Result",
    "Rule",
    "Step",
    "StepResult",
    "Value",
    "Verification",
]

Value = str | int | float
"""A parameter's value."""
Decision = Literal["run", "ask", "refuse"]
StepVerdict = Literal["succeeded", "failed", "timed_out", "stopped"]
Result = Literal[
    "succeeded",  # every step did
    "failed",  # a step did not; the others were not begun
    "timed_out",
    "stopped",  # by the kill switch
    "unknown",  # the process ended between intent and result
    "dry_run",  # what would have been done was said
    "notified",  # nothing is bound to the playbook
    "waiting",  # for an approval
    "rejected",
    "expired",
    "refused",  # by policy, by a check of parameters or resource, or by the kill switch
    "limited",  # by cooldown, runs an hour, targets, the circuit breaker, or one that runs already
    "repeated",  # this recommendation, alert or approval was acted on before
    "dropped",  # the queue was full
]
"""`remediation.result` of the catalog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody or something wants done.

    Attributes:
        target: what it is done to.
        actor: who asks: `recommendation`, or the name of a person or of a token.
        key: acted on at most once, ever: a recommendation's id, an alert's fingerprint and start.
        metric, band: what it is for; None where a person asks without one.
        evidence: what it follows from, for the audit; nothing is decided by it.
    """

    playbook: str
    parameters: Mapping[str, Value]
    target: Resource
    actor: str
    reason: str
    key: str
    metric: str | None = None
    band: BandName | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a request. `run_id` is None where nothing was begun."""

    result: Result
    detail: str
    run_id: str | None = None
    approval_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one step did.

    Attributes:
        detail: one line for people, secrets masked.
        exit_code: of a program; the status of an HTTP call.
        output: at most 64 KiB of what it said, secrets masked.
        output_sha256: of all that it said.
    """

    verdict: StepVerdict
    detail: str
    exit_code: int | None = None
    output: str = ""
    output_sha256: str = ""


class Step(Protocol):
    """One action that an operator bound. Checked when the file was read; may be run many times."""

    def plan(self, parameters: Mapping[str, Value]) -> Sequence[str]:
        """Return exactly what would be done: a program's argv, or method and URL. No secrets.

        Raises:
            ValueError: a value that this step must not be given.
        """

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        """Do it, and wait for its end. Never raises.

        Args:
            run_id: what audit and other side call this run (idempotency key).
            stopped: the kill switch, looked at once a second at least; what runs is ended within
                2 s of it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The metric (None: the request's own) must be in `band` again within `within_s`."""

    metric: str | None
    band: BandName
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What an operator bound to one playbook.

    Attributes:
        steps: done in order; the first that does not succeed ends the run.
        rollback: done in order after a step failed, only where it is declared.
        parameters: values in place of the playbook's defaults; a request may give others only
            within what the playbook's parameters allow.
        targets: ids of resources that it may be done to; None is any that is known.
        idempotent: whether a run whose end is unknown may be done again.
    """

    playbook: str
    enabled: bool
    risk: Risk
    steps: tuple[Step, ...]
    rollback: tuple[Step, ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=dict)
    targets: frozenset[str] | None = None
    cooldown_s: float
    runs_per_hour: int
    idempotent: bool = False
    verification: Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the policy. What is None matches all; metric, playbook and actor may end in `*`.

    The first rule that matches decides.
    """

    decision: Decision
    tier: int | None = None
    risk: Risk | None = None
    metric: str | None = None
    playbook: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for all playbooks together.

    Attributes:
        target_runs_per_hour: runs of whatever playbook on one target.
        targets_per_hour: different targets that anything is done to.
    """

    runs_per_hour: int = 20
    target_runs_per_hour: int = 10
    targets_per_hour: int = 5
    failures_in_a_row: int = 3
    circuit_pause_s: float = 1800.0
    approval_expires_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The webhook that is told of what is only notified: sent by `send(event, fields)`."""

    send: Callable[[str, Mapping[str, object]], StepResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The operator's file, checked.

    Attributes:
        sha256: of its bytes; in every line of the audit.
        enabled: False makes every run a dry run.
        stop_file: while it exists, nothing runs.
    """

    path: str
    sha256: str
    enabled: bool
    stop_file: str
    limits: Limits
    policy: tuple[Rule, ...]
    bindings: Mapping[str, Binding]
    notice: Notice | None = None

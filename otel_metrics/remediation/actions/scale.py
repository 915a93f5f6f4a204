"""The steps `compose` and `kubernetes`: how many of something run, through their command lines.

Both make an argv and run it as a program is run. What the tools do with it is theirs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_metrics.catalog.model import Parameter
from otel_metrics.remediation import trusted_files
from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.model import StepResult, Value

__all__ = ["REPLICAS_MAX", "ComposeStep", "KubernetesStep"]

REPLICAS_MAX: Final = 1_000
"""Most that a service is scaled to, whatever its playbook allows."""

Replicas = int | Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scaled(ABC):
    """What is run, and with which file: looked at again before each run."""

    program: str
    file: str
    replicas: Replicas
    timeout_s: float

    def plan(self, parameters: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the command.

        Raises:
            ValueError: the number of replicas is missing, or none.
        """
        return (self.program, *self._arguments(self._count(parameters)))

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        """Run it and wait for its end. Never raises."""
        try:
            arguments = self._arguments(self._count(parameters))
            trusted_files.check(self.file)
        except ValueError as error:
            return StepResult(verdict="failed", detail=f"{self.program}: not started: {error}")
        step = ProgramStep(path=self.program, arguments=arguments, timeout_s=self.timeout_s)
        return step.run({}, run_id=run_id, stopped=stopped)

    @abstractmethod
    def _arguments(self, count: str) -> tuple[str, ...]: ...

    def _count(self, parameters: Mapping[str, Value]) -> str:
        if isinstance(self.replicas, int):
            return str(self.replicas)
        name = self.replicas.name
        count = parameters.get(name)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= REPLICAS_MAX:
            raise ValueError(
                f"{name}={str(count)[:80]!a}: is no number of replicas; give 0 to {REPLICAS_MAX:,}"
            )
        return str(count)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeStep(_Scaled):
    """Scales a service of Docker Compose; satisfies `model.Step`."""

    project: str
    service: str

    def _arguments(self, count: str) -> tuple[str, ...]:
        return (
            *("compose", "--file", self.file, "--project-name", self.project),
            *("up", "--detach", "--no-recreate", "--scale", f"{self.service}={count}"),
            *("--", self.service),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesStep(_Scaled):
    """Scales a workload of Kubernetes; satisfies `model.Step`.

    Attributes:
        file: the kubeconfig.
        resource: `deployment/NAME` or `statefulset/NAME`.
    """

    context: str
    namespace: str
    resource: str

    def _arguments(self, count: str) -> tuple[str, ...]:
        return (
            *("--kubeconfig", self.file, "--context", self.context),
            *("--namespace", self.namespace, "scale", f"--replicas={count}", "--", self.resource),
        )

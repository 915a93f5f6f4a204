"""The step `program`: one program of the allow-list, with arguments that an operator wrote."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from otel_metrics.remediation import trusted_files
from otel_metrics.remediation.actions import process
from otel_metrics.remediation.model import StepResult, Value
from otel_metrics.remediation.placeholders import Token, argument

__all__ = ["ProgramStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStep:
    """Runs a program; satisfies `model.Step`.

    Attributes:
        path: absolute, of the allow-list; looked at again before each run.
        arguments: each becomes exactly one argument.
        background: whether what it starts may outlive it.
    """

    path: str
    arguments: tuple[Token, ...]
    timeout_s: float
    background: bool = False

    def plan(self, parameters: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the program's arguments, its path first.

        Raises:
            ValueError: a value that no argument can be.
        """
        return (self.path, *(argument(token, parameters) for token in self.arguments))

    def run(
        self, parameters: Mapping[str, Value], *, run_id: str, stopped: Callable[[], bool]
    ) -> StepResult:
        """Run it and wait for its end. Never raises."""
        try:
            argv = self.plan(parameters)
            trusted_files.check_program(self.path)
        except ValueError as error:
            return StepResult(verdict="failed", detail=f"{self.path}: not started: {error}")
        command = process.Command(argv=argv, timeout_s=self.timeout_s, background=self.background)
        return process.run(command, run_id=run_id, stopped=stopped)

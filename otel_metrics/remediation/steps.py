"""One step of a playbook, from the operator's file to what can be run.

A step is a mapping of one key, its kind, to what that kind needs. What a step may reach is in lists
of the same file: programs, hosts.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from otel_metrics.catalog.fields import Report, near
from otel_metrics.catalog.model import Parameter
from otel_metrics.remediation import trusted_files
from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.file_fields import FileFields
from otel_metrics.remediation.model import Step
from otel_metrics.remediation.placeholders import Token, token
from otel_metrics.yaml_source import Node

__all__ = ["ARGUMENTS_MAX", "KINDS", "TIMEOUT_MAX_S", "Allowed", "read"]

ARGUMENTS_MAX: Final = 200
"""Arguments of one program."""
TIMEOUT_MAX_S: Final = 3_600.0
"""Longest time that one step may be given."""
PROGRAM_TIMEOUT_S: Final = 60.0
"""What a program may take where the file does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the steps of a file may use.

    Attributes:
        parameters: of the playbook that the step is of.
        programs: absolute paths.
    """

    parameters: Mapping[str, Parameter]
    programs: Collection[str]


def read(node: Node, path: str, report: Report, allowed: Allowed) -> Step | None:
    """Return the step that a node says; None where it was refused."""
    step = FileFields(node, path, report, known=KINDS)
    kinds = [kind for kind in KINDS if step.has(kind)]
    if len(kinds) != 1:
        if isinstance(node.value, Mapping) and (kinds or not node.value):
            said = f"has {len(kinds)} kinds"
            report.add(node.line, path, said, f"give it exactly one of {', '.join(KINDS)}")
        return None
    return KINDS[kinds[0]](step, allowed)


def _program(step: FileFields, allowed: Allowed) -> Step | None:
    known = ("path", "arguments", "timeout", "background")
    fields = step.within("program", known=known)
    path = _allowed_program(fields, "path", allowed)
    arguments = _tokens(fields, "arguments", allowed)
    timeout_s = _timeout(fields, PROGRAM_TIMEOUT_S)
    background = fields.flag("background", default=False)
    if not path:
        return None
    return ProgramStep(path=path, arguments=arguments, timeout_s=timeout_s, background=background)


def _allowed_program(fields: FileFields, key: str, allowed: Allowed) -> str:
    """Return a program's path, "" where it is none that may be started."""
    path = fields.exact(key, required="give the program's absolute path")
    if not path:
        return ""
    if not path.startswith("/"):
        fields.refuse(key, f"{path!r} is no absolute path", "begin it with /")
    elif path not in allowed.programs:
        remedy = near(path, allowed.programs, otherwise="add it to `programs`")
        fields.refuse(key, f"{path!r} is not in `programs`", remedy)
    else:
        try:
            trusted_files.check_program(path)
        except trusted_files.UntrustedFileError as error:
            fields.refuse(key, error.message, error.remedy)
        else:
            return path
    return ""


def _tokens(fields: FileFields, key: str, allowed: Allowed) -> tuple[Token, ...]:
    tokens = []
    for index, text in fields.texts(key, most=ARGUMENTS_MAX):
        try:
            tokens.append(token(text, allowed.parameters))
        except ValueError as error:
            message, _, remedy = str(error).rpartition("; ")
            fields.refuse_item(key, index, message, remedy)
    return tuple(tokens)


def _timeout(fields: FileFields, default_s: float) -> float:
    return fields.duration("timeout", default_s, least_s=0.1, most_s=TIMEOUT_MAX_S)


KINDS: Final[Mapping[str, Callable[[FileFields, Allowed], Step | None]]] = {
    "program": _program,
}
"""What reads each kind of step."""

"""One step of a playbook, from the operator's file to what can be run.

A step is a mapping of one key, its kind, to what that kind needs. What a step may reach is in lists
of the same file: programs, hosts.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from otel_metrics.catalog.fields import Report, near
from otel_metrics.catalog.model import Parameter
from otel_metrics.remediation import trusted_files
from otel_metrics.remediation.actions import http, signing
from otel_metrics.remediation.actions.callables import CallableStep, Function
from otel_metrics.remediation.actions.hosts import Hosts, endpoint
from otel_metrics.remediation.actions.http_step import HttpStep
from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.actions.scale import (
    REPLICAS_MAX,
    ComposeStep,
    KubernetesStep,
    Replicas,
)
from otel_metrics.remediation.file_fields import FileFields
from otel_metrics.remediation.model import Step
from otel_metrics.remediation.placeholders import Body, Token, token
from otel_metrics.yaml_source import Node

__all__ = ["ARGUMENTS_MAX", "KINDS", "TIMEOUT_MAX_S", "Allowed", "http_target", "read"]

ARGUMENTS_MAX: Final = 200
"""Arguments of one program."""
TIMEOUT_MAX_S: Final = 3_600.0
"""Longest time that one step may be given."""
PROGRAM_TIMEOUT_S: Final = 60.0
"""What a program or a function may take where the file does not say."""
HTTP_TIMEOUT_S: Final = 5.0
"""Likewise an HTTP call."""
DOCKER: Final = "/usr/bin/docker"
KUBECTL: Final = "/usr/bin/kubectl"
"""What scales where the file names no other program; it is in `programs` all the same."""

_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SERVICE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
_CONTEXT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@-]{0,252}")
_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
_RESOURCE: Final = re.compile(rf"(?:deployment|statefulset|replicaset)/{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the steps of a file may use.

    Attributes:
        parameters: of the playbook that the step is of.
        programs: absolute paths.
        functions: what the service registers, now or later.
    """

    parameters: Mapping[str, Parameter]
    programs: Collection[str]
    hosts: Hosts
    functions: Mapping[str, Function]


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


def _callable(step: FileFields, allowed: Allowed) -> Step | None:
    fields = step.within("callable", known=("name", "timeout"))
    name = fields.text("name", required="give the name that the service registers")
    timeout_s = _timeout(fields, PROGRAM_TIMEOUT_S)
    return CallableStep(name=name, timeout_s=timeout_s, functions=allowed.functions)


def _http(step: FileFields, allowed: Allowed) -> Step | None:
    fields = step.within("http", known=("method", "url", "body", "secret_file", "timeout"))
    method = fields.choice("method", http.METHODS) or http.METHODS[0]
    target = http_target(fields, allowed.hosts, method)
    node = fields.node("body")
    body = None if node is None else _body(node, fields.path("body"), fields.report, allowed)
    return None if target is None else HttpStep(target=target, body=body)


def _compose(step: FileFields, allowed: Allowed) -> Step | None:
    known = ("program", "file", "project", "service", "replicas", "timeout")
    fields = step.within("compose", known=known)
    program = _allowed_program(fields, "program", allowed, default=DOCKER)
    file = _trusted(fields, "file")
    project = _matching(fields, "project", _PROJECT)
    service = _matching(fields, "service", _SERVICE)
    replicas = _replicas(fields, allowed)
    timeout_s = _timeout(fields, PROGRAM_TIMEOUT_S)
    if not all((program, file, project, service)) or replicas is None:
        return None
    return ComposeStep(
        program=program,
        file=file,
        project=project,
        service=service,
        replicas=replicas,
        timeout_s=timeout_s,
    )


def _kubernetes(step: FileFields, allowed: Allowed) -> Step | None:
    known = ("program", "kubeconfig", "context", "namespace", "resource", "replicas", "timeout")
    fields = step.within("kubernetes", known=known)
    program = _allowed_program(fields, "program", allowed, default=KUBECTL)
    file = _trusted(fields, "kubeconfig")
    context = _matching(fields, "context", _CONTEXT)
    namespace = _matching(fields, "namespace", _NAMESPACE)
    resource = _matching(fields, "resource", _RESOURCE)
    replicas = _replicas(fields, allowed)
    timeout_s = _timeout(fields, PROGRAM_TIMEOUT_S)
    if not all((program, file, context, namespace, resource)) or replicas is None:
        return None
    return KubernetesStep(
        program=program,
        file=file,
        context=context,
        namespace=namespace,
        resource=resource,
        replicas=replicas,
        timeout_s=timeout_s,
    )


def http_target(fields: FileFields, allowed: Hosts, method: str) -> http.Target | None:
    """Return where `url` leads, signed with `secret_file`; None where it was refused."""
    url = fields.exact("url", required="write https://HOST/PATH")
    secret_file = _secret_file(fields)
    timeout_s = _timeout(fields, HTTP_TIMEOUT_S)
    if not url:
        return None
    try:
        found = endpoint(url)
    except ValueError as error:
        _refuse(fields, "url", error)
        return None
    if not allowed.allows(found):
        written = f"{found.host}:{found.port}"
        entry = written if found.scheme == "https" else f"http://{written}"
        fields.refuse("url", f"{written} is not in `hosts`", f"add {entry!r} to `hosts`")
        return None
    if not secret_file:
        return None
    return http.Target(
        method=method,
        url=url,
        endpoint=found,
        hosts=allowed,
        secret_file=secret_file,
        timeout_s=timeout_s,
    )


def _secret_file(fields: FileFields) -> str:
    path = fields.exact("secret_file", required="name the file of the secret that signs the call")
    if not path:
        return ""
    try:
        content = trusted_files.read(path, bytes_max=http.SECRET_BYTES_MAX, private=True)
        signing.key(content)
    except ValueError as error:
        _refuse(fields, "secret_file", error)
        return ""
    return path


def _allowed_program(fields: FileFields, key: str, allowed: Allowed, *, default: str = "") -> str:
    """Return a program's path, "" where it is none that may be started."""
    required = "" if default else "give the program's absolute path"
    path = fields.exact(key, required=required) or default
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


def _body(node: Node, path: str, report: Report, allowed: Allowed) -> Body:
    """Return JSON with its placeholders, each a whole text."""
    value = node.value
    if isinstance(value, Mapping):
        for key in value:
            if "${" in key:
                report.add(node.lines[key], path, f"{key!r} is a key", "a key is fixed")
        items = value.items()
        return {key: _body(item, f"{path}.{key}", report, allowed) for key, item in items}
    if isinstance(value, tuple):
        items_of = enumerate(value)
        return tuple(_body(item, f"{path}[{at}]", report, allowed) for at, item in items_of)
    if isinstance(value, float) and not math.isfinite(value):
        report.add(node.line, path, f"{value} is no number of JSON", "write a finite one")
        return None
    if not isinstance(value, str):
        return value
    try:
        return token(value, allowed.parameters)
    except ValueError as error:
        message, _, remedy = str(error).rpartition("; ")
        report.add(node.line, path, message, remedy)
        return None


def _replicas(fields: FileFields, allowed: Allowed) -> Replicas | None:
    """Return a number, or the parameter of whole numbers that has it."""
    node = fields.node("replicas")
    if node is not None and isinstance(node.value, str):
        try:
            found = token(node.value, allowed.parameters)
        except ValueError as error:
            _refuse(fields, "replicas", error)
            return None
        if isinstance(found, Parameter) and found.type == "integer":
            return found
    elif node is not None:
        return fields.whole("replicas", 0, least=0, most=REPLICAS_MAX)
    remedy = "write a whole number, or ${parameter} of type integer"
    fields.refuse("replicas", "is no number" if node else "is missing", remedy)
    return None


def _trusted(fields: FileFields, key: str) -> str:
    """Return the path of a file that nobody else can change, "" where it is none."""
    path = fields.exact(key, required="give the absolute path of the file")
    if not path:
        return ""
    try:
        trusted_files.check(path)
    except trusted_files.UntrustedFileError as error:
        fields.refuse(key, error.message, error.remedy)
        return ""
    return path


def _matching(fields: FileFields, key: str, pattern: re.Pattern[str]) -> str:
    text = fields.exact(key, required="write its name; names are fixed, not parameters")
    if text and not pattern.fullmatch(text):
        fields.refuse(key, f"{text[:80]!r} is no such name", f"write one that is {pattern.pattern}")
        return ""
    return text


def _refuse(fields: FileFields, key: str, error: ValueError) -> None:
    message, _, remedy = str(error).rpartition("; ")
    fields.refuse(key, message or str(error), remedy)


def _timeout(fields: FileFields, default_s: float) -> float:
    return fields.duration("timeout", default_s, least_s=0.1, most_s=TIMEOUT_MAX_S)


KINDS: Final[Mapping[str, Callable[[FileFields, Allowed], Step | None]]] = {
    "program": _program,
    "http": _http,
    "callable": _callable,
    "compose": _compose,
    "kubernetes": _kubernetes,
}
"""What reads each kind of step."""

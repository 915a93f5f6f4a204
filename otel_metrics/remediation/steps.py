"""One step of a playbook, from the operator's file to what can be run.

A step is a mapping of one key, its kind, to what that kind needs. What a step may reach is in lists
of the same file: programs, hosts.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from otel_metrics.catalog.fields import Report
from otel_metrics.remediation import step_values
from otel_metrics.remediation.actions import http
from otel_metrics.remediation.actions.callables import CallableStep
from otel_metrics.remediation.actions.http_step import HttpStep
from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.actions.scale import ComposeStep, KubernetesStep
from otel_metrics.remediation.file_fields import FileFields
from otel_metrics.remediation.model import Step
from otel_metrics.remediation.step_values import Allowed
from otel_metrics.yaml_source import Node

__all__ = ["KINDS", "PROGRAM_TIMEOUT_S", "read"]

PROGRAM_TIMEOUT_S: Final = 60.0
"""What a program or a function may take where the file does not say."""
DOCKER: Final = "/usr/bin/docker"
KUBECTL: Final = "/usr/bin/kubectl"
"""What scales where the file names no other program; it is in `programs` all the same."""

_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SERVICE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
_CONTEXT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@-]{0,252}")
_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
_RESOURCE: Final = re.compile(rf"(?:deployment|statefulset|replicaset)/{_LABEL}(?:\.{_LABEL})*")


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
    path = step_values.allowed_program(fields, "path", allowed)
    arguments = step_values.tokens(fields, "arguments", allowed)
    timeout_s = step_values.timeout(fields, PROGRAM_TIMEOUT_S)
    background = fields.flag("background", default=False)
    if not path:
        return None
    return ProgramStep(path=path, arguments=arguments, timeout_s=timeout_s, background=background)


def _callable(step: FileFields, allowed: Allowed) -> Step | None:
    fields = step.within("callable", known=("name", "timeout"))
    name = fields.text("name", required="give the name that the service registers")
    timeout_s = step_values.timeout(fields, PROGRAM_TIMEOUT_S)
    return CallableStep(name=name, timeout_s=timeout_s, functions=allowed.functions)


def _http(step: FileFields, allowed: Allowed) -> Step | None:
    fields = step.within("http", known=("method", "url", "body", "secret_file", "timeout"))
    method = fields.choice("method", http.METHODS) or http.METHODS[0]
    target = step_values.http_target(fields, allowed.hosts, method)
    node = fields.node("body")
    body = (
        None
        if node is None
        else step_values.body(node, fields.path("body"), fields.report, allowed)
    )
    return None if target is None else HttpStep(target=target, body=body)


def _compose(step: FileFields, allowed: Allowed) -> Step | None:
    known = ("program", "file", "project", "service", "replicas", "timeout")
    fields = step.within("compose", known=known)
    program = step_values.allowed_program(fields, "program", allowed, default=DOCKER)
    file = step_values.trusted(fields, "file")
    project = step_values.matching(fields, "project", _PROJECT)
    service = step_values.matching(fields, "service", _SERVICE)
    replicas = step_values.replicas(fields, allowed)
    timeout_s = step_values.timeout(fields, PROGRAM_TIMEOUT_S)
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
    program = step_values.allowed_program(fields, "program", allowed, default=KUBECTL)
    file = step_values.trusted(fields, "kubeconfig")
    context = step_values.matching(fields, "context", _CONTEXT)
    namespace = step_values.matching(fields, "namespace", _NAMESPACE)
    resource = step_values.matching(fields, "resource", _RESOURCE)
    replicas = step_values.replicas(fields, allowed)
    timeout_s = step_values.timeout(fields, PROGRAM_TIMEOUT_S)
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


KINDS: Final[Mapping[str, Callable[[FileFields, Allowed], Step | None]]] = {
    "program": _program,
    "http": _http,
    "callable": _callable,
    "compose": _compose,
    "kubernetes": _kubernetes,
}
"""What reads each kind of step."""

"""What the keys of a step may hold, by what it is: a program, arguments, a host, a file, a number.

Each returns what the file says, or something that is empty where it has refused it.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from otel_metrics.catalog.fields import Report, near
from otel_metrics.catalog.model import Parameter
from otel_metrics.remediation import trusted_files
from otel_metrics.remediation.actions import http, signing
from otel_metrics.remediation.actions.hosts import Hosts, endpoint
from otel_metrics.remediation.actions.scale import REPLICAS_MAX, Replicas
from otel_metrics.remediation.file_fields import FileFields
from otel_metrics.remediation.placeholders import Body, Token, token
from otel_metrics.remediation.registry import Function
from otel_metrics.yaml_source import Node

__all__ = [
    "ARGUMENTS_MAX",
    "HTTP_TIMEOUT_S",
    "TIMEOUT_MAX_S",
    "Allowed",
    "allowed_program",
    "body",
    "http_target",
    "matching",
    "replicas",
    "timeout",
    "tokens",
    "trusted",
]

ARGUMENTS_MAX: Final = 200
"""Arguments of one program."""
TIMEOUT_MAX_S: Final = 3_600.0
"""Longest time that one step may be given."""
HTTP_TIMEOUT_S: Final = 5.0
"""What an HTTP call may take where the file does not say."""


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


def allowed_program(fields: FileFields, key: str, allowed: Allowed, *, default: str = "") -> str:
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


def tokens(fields: FileFields, key: str, allowed: Allowed) -> tuple[Token, ...]:
    tokens = []
    for index, text in fields.texts(key, most=ARGUMENTS_MAX):
        try:
            tokens.append(token(text, allowed.parameters))
        except ValueError as error:
            message, _, remedy = str(error).rpartition("; ")
            fields.refuse_item(key, index, message, remedy)
    return tuple(tokens)


def body(node: Node, path: str, report: Report, allowed: Allowed) -> Body:
    """Return JSON with its placeholders, each a whole text."""
    value = node.value
    if isinstance(value, Mapping):
        for key in value:
            if "${" in key:
                report.add(node.lines[key], path, f"{key!r} is a key", "a key is fixed")
        items = value.items()
        return {key: body(item, f"{path}.{key}", report, allowed) for key, item in items}
    if isinstance(value, tuple):
        items_of = enumerate(value)
        return tuple(body(item, f"{path}[{at}]", report, allowed) for at, item in items_of)
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


def replicas(fields: FileFields, allowed: Allowed) -> Replicas | None:
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


def http_target(fields: FileFields, allowed: Hosts, method: str) -> http.Target | None:
    """Return where `url` leads, signed with `secret_file`; None where it was refused."""
    url = fields.exact("url", required="write https://HOST/PATH")
    secret_file = _secret_file(fields)
    timeout_s = timeout(fields, HTTP_TIMEOUT_S)
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


def trusted(fields: FileFields, key: str) -> str:
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


def matching(fields: FileFields, key: str, pattern: re.Pattern[str]) -> str:
    text = fields.exact(key, required="write its name; names are fixed, not parameters")
    if text and not pattern.fullmatch(text):
        fields.refuse(key, f"{text[:80]!r} is no such name", f"write one that is {pattern.pattern}")
        return ""
    return text


def timeout(fields: FileFields, default_s: float) -> float:
    return fields.duration("timeout", default_s, least_s=0.1, most_s=TIMEOUT_MAX_S)


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


def _refuse(fields: FileFields, key: str, error: ValueError) -> None:
    message, _, remedy = str(error).rpartition("; ")
    fields.refuse(key, message or str(error), remedy)

"""The operator's file: what playbooks are bound to, and what may run. See `docs/playbooks.md`.

Whoever can write the file can run programs as the service, so it is read only where nobody else can
change it; and all of it is checked when it is read, so that a mistake shows before an emergency.
"""

import hashlib
import os
from collections.abc import Collection, Mapping
from typing import Final

from otel_metrics.catalog.fields import Report, TooManyProblemsError
from otel_metrics.catalog.model import Parameter, Playbook, Risk
from otel_metrics.remediation import bindings, rules, step_values, trusted_files
from otel_metrics.remediation.actions.hosts import Hosts, hosts
from otel_metrics.remediation.actions.http_step import notice
from otel_metrics.remediation.file_fields import FileFields
from otel_metrics.remediation.model import Configuration, Limits, Notice
from otel_metrics.remediation.registry import REGISTERED, Function
from otel_metrics.yaml_source import BYTES_MAX, Node, Problem, YamlSourceError, parse

__all__ = ["LISTED_MAX", "ConfigurationProblems", "read"]

LISTED_MAX: Final = 200
"""Programs, and hosts, that a file may allow."""
SHELLS: Final = frozenset(
    {"ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh"}
)
"""Programs that make commands of arguments, and so of values."""
COUNT_MAX: Final = 100_000
"""Largest number of a limit."""
PAUSE_MAX_S: Final = 7 * 86_400.0
"""Longest pause of the circuit breaker, and life of an approval."""

_KNOWN: Final = (
    "enabled",
    "stop_file",
    "programs",
    "hosts",
    "limits",
    "notify",
    "policy",
    "playbooks",
)


class ConfigurationProblems(YamlSourceError):  # noqa: N818  # what callers print, one a line
    """A file that is not used; `problems` has every reason, with line, key and remedy."""


def read(
    path: str | os.PathLike[str],
    *,
    playbooks: Mapping[str, Playbook],
    callables: Mapping[str, Function] = REGISTERED,
    metrics: Collection[str] | None = None,
    stop_file: str = "",
    ledger_folder: str = "",
) -> Configuration:
    """Read the file and check all of it.

    Args:
        playbooks: those of the catalog.
        callables: functions by name, looked at when a step is run.
        metrics: the catalog's metrics, so that the name of one that is not there is refused.
        stop_file: the kill switch where the file names none.
        ledger_folder: of the ledger that goes with it; not looked at where empty.

    Raises:
        ConfigurationProblems: it cannot be read, others may change it, or something in it is wrong.
    """
    name = os.fspath(path)
    try:
        data = trusted_files.read(os.path.abspath(name), bytes_max=BYTES_MAX)
        root = _mapping(parse(data, name=name))
        _check_ledger(ledger_folder)
    except trusted_files.UntrustedFileError as error:
        problem = Problem(file=name, line=0, key="", message=error.message, remedy=error.remedy)
        raise ConfigurationProblems((problem,)) from error
    except YamlSourceError as error:
        raise ConfigurationProblems(error.problems) from error
    report = Report(name)
    try:
        fields = FileFields(root, "", report, known=_KNOWN)
        reading = _Reading(fields, playbooks=playbooks, metrics=metrics, callables=callables)
        found = reading.configuration(data, stop_file)
    except TooManyProblemsError:
        found = None
    if found is None or report.problems:
        problems = sorted(report.problems, key=lambda problem: problem.line)
        raise ConfigurationProblems(tuple(problems))
    return found


def _check_ledger(folder: str) -> None:
    """Refuse a folder that others may write in; one that is not there is made for us alone."""
    if not folder or not os.path.lexists(folder):
        return
    try:
        trusted_files.check_folder(os.path.abspath(folder))
    except trusted_files.UntrustedFileError as error:
        message = f"the ledger's folder, where who can write can approve: {error.message}"
        raise trusted_files.UntrustedFileError(message, error.remedy) from error


def _mapping(root: Node) -> Node:
    """Return the file's mapping; a file that says nothing has an empty one."""
    return Node(value={}, line=1) if root.value is None else root


class _Reading:
    """One file, section by section."""

    def __init__(
        self,
        fields: FileFields,
        *,
        playbooks: Mapping[str, Playbook],
        metrics: Collection[str] | None,
        callables: Mapping[str, Function],
    ) -> None:
        self._fields = fields
        self._playbooks = playbooks
        self._metrics = metrics
        self._callables = callables
        self._programs = _programs(fields)
        self._hosts = _hosts(fields)

    def configuration(self, data: bytes, stop_file: str) -> Configuration:
        fields = self._fields
        known = bindings.Known(
            playbooks=self._playbooks, metrics=self._metrics, allowed=self._allowed
        )
        bound = bindings.read(fields, known)
        risks: dict[str, Risk] = {name: each.risk for name, each in self._playbooks.items()}
        risks |= {name: binding.risk for name, binding in bound.items()}
        return Configuration(
            path=fields.report.file,
            sha256=hashlib.sha256(data).hexdigest(),
            enabled=fields.flag("enabled", default=False),
            stop_file=_stop_file(fields) or stop_file,
            limits=_limits(fields),
            policy=rules.read(fields, risks, self._metrics),
            bindings=bound,
            notice=self._notice(),
        )

    def _allowed(self, parameters: Mapping[str, Parameter]) -> step_values.Allowed:
        return step_values.Allowed(
            parameters=parameters,
            programs=self._programs,
            hosts=self._hosts,
            functions=self._callables,
        )

    def _notice(self) -> Notice | None:
        if not self._fields.has("notify"):
            return None
        given = self._fields.within("notify", known=("url", "secret_file", "timeout"))
        target = step_values.http_target(given, self._hosts, "POST")
        return None if target is None else Notice(send=notice(target))


def _programs(fields: FileFields) -> frozenset[str]:
    listed = fields.texts("programs", most=LISTED_MAX)
    for index, path in listed:
        names = {os.path.basename(path), os.path.basename(os.path.realpath(path))}
        if not path.startswith("/"):
            fields.refuse_item(
                "programs", index, f"{path!r} is no absolute path", "begin it with /"
            )
        elif names & SHELLS:
            remedy = "put what it shall do into a script of its own, and list that"
            fields.refuse_item("programs", index, f"{path!r} is a shell", remedy)
    return frozenset(path for _, path in listed)


def _hosts(fields: FileFields) -> Hosts:
    found, wrong = hosts(dict(fields.texts("hosts", most=LISTED_MAX)))
    for index, reason in wrong.items():
        message, _, remedy = reason.rpartition("; ")
        fields.refuse_item("hosts", index, message, remedy)
    return found


def _stop_file(fields: FileFields) -> str:
    """Return the kill switch: a file that nobody else can remove, in a folder that is there."""
    path = fields.exact("stop_file")
    if path and not path.startswith("/"):
        fields.refuse("stop_file", f"{path!r} is no absolute path", "begin it with /")
    elif path:
        try:
            trusted_files.check_folder(os.path.dirname(path))
        except trusted_files.UntrustedFileError as error:
            fields.refuse("stop_file", error.message, error.remedy)
    return path


def _limits(fields: FileFields) -> Limits:
    known = (
        "runs_per_hour",
        "target_runs_per_hour",
        "targets_per_hour",
        "failures_in_a_row",
        "circuit_pause",
        "approval_expires",
    )
    given = fields.within("limits", known=known)
    default = Limits()

    def whole(key: str, value: int) -> int:
        return given.whole(key, value, least=1, most=COUNT_MAX)

    def duration(key: str, value_s: float) -> float:
        return given.duration(key, value_s, least_s=1, most_s=PAUSE_MAX_S)

    return Limits(
        runs_per_hour=whole("runs_per_hour", default.runs_per_hour),
        target_runs_per_hour=whole("target_runs_per_hour", default.target_runs_per_hour),
        targets_per_hour=whole("targets_per_hour", default.targets_per_hour),
        failures_in_a_row=whole("failures_in_a_row", default.failures_in_a_row),
        circuit_pause_s=duration("circuit_pause", default.circuit_pause_s),
        approval_expires_s=duration("approval_expires", default.approval_expires_s),
    )

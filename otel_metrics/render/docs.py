"""The reference pages: metrics, events, playbooks, environment variables and commands, as Markdown.

Pure: each page is a function of what it describes, so that a test can tell when a page has drifted.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, Protocol, TypeVar

import click

from otel_metrics.catalog.model import SERIES_BUDGET, Attribute, Catalog, Event, Metric
from otel_metrics.render.judged import judged, playbooks_page
from otel_metrics.render.markdown import GENERATED, code, codes, number, page, table
from otel_metrics.render.own_catalog import OWN_CATALOG

__all__ = [
    "Variable",
    "commands_page",
    "environment_page",
    "events_page",
    "metrics_page",
    "playbooks_page",
    "reference",
]

PROGRAM: Final = "otel-metrics"
DOMAINS: Final = (
    "skills",
    "sovereignty",
    "tokens",
    "budgets",
    "efficiency",
    "executions",
    "host",
    "service",
    "remediation",
    "pipeline",
)
"""Reading order; a domain that is not named here follows, by name."""
TITLES: Final[Mapping[str, str]] = {
    "tokens": "Tokens and cost",
    "service": "Service telemetry",
    "remediation": "Playbooks and approvals",
    "pipeline": "The pipeline itself",
}

Entry = TypeVar("Entry", Metric, Event)

_ENVIRONMENT = """\
An empty variable means an unset one.
Durations are in milliseconds where a row says nothing else, or carry a unit (`2s`, `30d`); sizes are in bytes, or carry one (`64MiB`).
A bad value never stops the service: a warning names the variable, its value, what is accepted and what is used instead.
Each variable but `OTEL_TRACES_EXPORTER` is also a keyword of `otel_metrics.configure(...)`: in lower case, without `OTEL_`, `EXPORTER_` and `PYTHON_METRICS_`.
`otel-metrics doctor` prints what is in force.
"""  # noqa: E501  # a sentence a line


class Variable(Protocol):
    """What the page says of an environment variable."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def default(self) -> str:
        """What holds where it is not set."""

    @property
    def meaning(self) -> str:
        """What it does, in a sentence."""

    @property
    def group(self) -> str:
        """The heading that it is under."""


def reference(
    catalog: Catalog, variables: Sequence[Variable], command: click.Command
) -> dict[str, str]:
    """Return every page of `docs/reference/` by its file name."""
    return {
        "commands.md": commands_page(command),
        "environment.md": environment_page(variables),
        "events.md": events_page(catalog),
        "metrics.md": metrics_page(catalog),
        "playbooks.md": playbooks_page(catalog),
    }


def metrics_page(catalog: Catalog) -> str:
    """Return the page of every metric, by domain, and of every attribute that one carries."""
    lines = ["# Metrics", "", GENERATED, ""]
    for domain, metrics in _by_domain(catalog.metrics.values()):
        lines += [f"## {_title(domain)}", ""]
        lines += table(
            ("Metric", "What is measured", "Instrument", "Unit", "Attributes", "Prometheus"),
            (_metric_row(metric) for metric in metrics),
        )
        lines += ["", *_kept(metrics)]
    used = {key for metric in catalog.metrics.values() for key in metric.attributes}
    lines += ["## Attributes of metrics", "", *_attributes(catalog, used), ""]
    lines += [*judged(catalog), OWN_CATALOG]
    return page(lines)


def events_page(catalog: Catalog) -> str:
    """Return the page of every event and of every attribute that one carries."""
    lines = ["# Events", "", GENERATED, ""]
    lines += [
        "An event is an OpenTelemetry log record with an event name.",
        "It keeps the particulars that must not become attributes of a metric.",
        "",
    ]
    for domain, events in _by_domain(catalog.events.values()):
        lines += [f"## {_title(domain)}", ""]
        lines += table(("Event", "What happened", "Attributes"), map(_event_row, events))
        lines += [""]
    used = {key for event in catalog.events.values() for key in event.attributes}
    lines += ["## Attributes of events", "", *_attributes(catalog, used)]
    return page(lines)


def environment_page(variables: Sequence[Variable]) -> str:
    """Return the page of every environment variable, under its group."""
    lines = ["# Environment variables", "", GENERATED, "", _ENVIRONMENT]
    for group, members in groupby(variables, lambda variable: variable.group):
        rows = ((code(it.name), code(it.default), it.meaning) for it in members)
        lines += [f"## {group}", "", *table(("Variable", "Default", "Meaning"), rows), ""]
    return page(lines)


def commands_page(command: click.Command) -> str:
    """Return the page of a command and every command under it."""
    lines = ["# Commands", "", GENERATED, ""]
    for context in _commands(command, None):
        lines += _command(context)
    return page(lines)


def _by_domain(entries: Iterable[Entry]) -> list[tuple[str, list[Entry]]]:
    domains: dict[str, list[Entry]] = {}
    for entry in entries:
        domains.setdefault(entry.domain, []).append(entry)
    rank = {domain: index for index, domain in enumerate(DOMAINS)}
    return sorted(domains.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0]))


def _title(domain: str) -> str:
    return TITLES.get(domain, domain.capitalize())


def _metric_row(metric: Metric) -> tuple[str, ...]:
    return (
        code(metric.name),
        f"{metric.brief} {metric.note}".strip(),
        metric.instrument,
        code(metric.unit),
        _listed(metric.levels),
        code(metric.prometheus),
    )


def _event_row(event: Event) -> tuple[str, ...]:
    return code(event.name), f"{event.brief} {event.note}".strip(), _listed(event.levels)


def _listed(levels: Mapping[str, str]) -> str:
    return ", ".join(f"{code(key)}{_level(level)}" for key, level in levels.items())


def _level(level: str) -> str:
    kind, _, condition = level.partition(": ")
    if kind == "opt_in" and not condition:
        return " (opt-in)"
    return f" ({condition})" if condition else ""


def _kept(metrics: Sequence[Metric]) -> list[str]:
    """Say what the table has no column for: buckets, merging, and a budget or a time of its own."""
    lines = []
    buckets: dict[tuple[float, ...], list[str]] = {}
    merges: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.buckets:
            buckets.setdefault(metric.buckets, []).append(metric.name)
        if metric.merge:
            merges.setdefault(metric.merge, []).append(metric.name)
        if metric.ttl_s is not None:
            lines.append(f"- {code(metric.name)} is no longer exported {metric.ttl_s:g} s after.")
        if metric.series_budget != SERIES_BUDGET:
            lines.append(f"- {code(metric.name)} keeps {metric.series_budget} attribute sets.")
    for bounds, names in buckets.items():
        lines.append(f"- Buckets of {codes(names)}: {', '.join(map(number, bounds))}.")
    for merge, names in merges.items():
        lines.append(f"- Over worker processes, {merge}: {codes(names)}.")
    return [*lines, ""] if lines else []


def _attributes(catalog: Catalog, used: Iterable[str]) -> list[str]:
    rows = (_attribute_row(catalog.attributes[key]) for key in sorted(used))
    return table(("Attribute", "Type", "Meaning", "Values"), rows)


def _attribute_row(attribute: Attribute) -> tuple[str, ...]:
    if attribute.members:
        values = "; ".join(
            f"{code(str(member.value))} {member.brief.rstrip('.')}" for member in attribute.members
        )
    else:
        values = ", ".join(code(str(example)) for example in attribute.examples)
        values = f"such as {values}" if values else ""
    return code(attribute.key), attribute.type, attribute.brief, values


def _commands(command: click.Command, parent: click.Context | None) -> Iterator[click.Context]:
    """Yield a context for each command, depth first, groups before what is in them."""
    name = command.name if parent else PROGRAM
    context = click.Context(command, info_name=name, parent=parent)
    yield context
    if isinstance(command, click.Group):
        for below in (command.get_command(context, it) for it in command.list_commands(context)):
            if below is not None and not below.hidden:
                yield from _commands(below, context)


def _command(context: click.Context) -> list[str]:
    command = context.command
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    lines = [f"## `{context.command_path}`", "", *_help(command.help or ""), ""]
    lines += ["```text", usage, "```", ""]
    options = [
        (code(", ".join(option.opts + option.secondary_opts)), _takes(option), _meaning(option))
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden and "--help" not in option.opts
    ]
    return [*lines, *table(("Option", "Takes", "Meaning"), options), ""] if options else lines


def _help(text: str) -> list[str]:
    """Return a command's help as Markdown; click's \\b marks text that keeps its lines."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(text).partition("\f")[0].split("\n\n"):
        kept = paragraph.removeprefix("\b\n")
        block = ["```text", kept, "```"] if kept != paragraph else [" ".join(paragraph.split())]
        lines += ["", *block] if lines else block
    return lines


def _meaning(option: click.Option) -> str:
    default = f"Default: {code(str(option.default))}." if option.show_default else ""
    return f"{option.help or ''} {default}".strip()


def _takes(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return ", ".join(code(str(choice)) for choice in option.type.choices)
    return (option.metavar or option.type.name.removesuffix(" range")).upper()
